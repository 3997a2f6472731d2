//! What the holders of locks did, laid side by side.

use std::collections::BTreeMap;

use serde_json::Value;

/// One use of the resource behind a lock.
#[derive(Debug, Clone, Copy)]
struct Use {
    fence: u64,
    from_us: u64,
    to_us: u64,
}

/// All uses, by lock.
#[derive(Debug, Default)]
pub(super) struct Uses(BTreeMap<String, Vec<Use>>);

impl Uses {
    pub(super) fn note(&mut self, lock: &str, answer: &Value) {
        let number = |name: &str| answer[name].as_u64().unwrap_or_else(|| panic!("{answer}"));
        self.0.entry(lock.to_owned()).or_default().push(Use {
            fence: number("fence"),
            from_us: number("from_us"),
            to_us: number("to_us"),
        });
    }

    pub(super) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (lock, uses) in other.0 {
            self.0.entry(lock).or_default().extend(uses);
        }
    }

    /// Pairs of uses of one lock that overlap, or whose fences did not grow.
    pub(super) fn overlaps(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for (lock, uses) in &mut self.0 {
            uses.sort_by_key(|each| each.from_us);
            for pair in uses.windows(2) {
                if pair[0].to_us > pair[1].from_us || pair[0].fence >= pair[1].fence {
                    found.push(format!("{lock}: {pair:?}"));
                }
            }
        }
        found
    }
}

#[test]
fn overlaps_and_fences_that_fall_are_found() {
    let answer = |fence: u64, from_us: u64, to_us: u64| serde_json::json!({ "fence": fence, "from_us": from_us, "to_us": to_us });
    let mut uses = Uses::default();
    uses.note("a", &answer(1, 10, 20));
    uses.note("a", &answer(2, 20, 30));
    uses.note("b", &answer(1, 15, 25));
    assert!(uses.overlaps().is_empty());
    uses.note("a", &answer(3, 29, 31));
    assert_eq!(uses.overlaps().len(), 1);
    uses.note("b", &answer(1, 25, 26));
    assert_eq!(uses.overlaps().len(), 2);
}
