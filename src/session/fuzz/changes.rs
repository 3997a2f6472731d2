//! Change sets against the plainest model there is: one change after the other.
//! Floor 5.

use bytes::Bytes;

use crate::session::change::ChangeSet;
use crate::session::fields;
use crate::session::fuzz::stored::{push, sound_record};
use crate::session::limits::is_name;
use crate::session::record::{CURRENT, SessionRecord, VERSION, Version};
use crate::session::save::{Plan, Save, SaveOutcome};
use crate::session::terms::AS_THEY_ARE;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A record with whatever fields, and two lots of changes to it.
pub fn changes(data: &[u8]) {
    let mut source = Source(data);
    let stored = source.fields();
    let record = sound_record().with(&[], &stored);
    let Ok(record) = SessionRecord::decode(record.as_bytes().clone()) else {
        return;
    };
    let (one, other) = (source.changes(), source.changes());
    let (set, other_set) = (set_of(&one), set_of(&other));

    let mut model = model_of(&stored);
    apply(&mut model, &one);
    let merged = set.merge_into(&stored);
    assert_eq!(
        model_of(&merged),
        model,
        "a set merges as its changes in order"
    );
    assert_eq!(merged, bytes_of(&model), "byte for byte");
    assert_eq!(
        set.merge_into(&merged),
        merged,
        "a second time changes nothing"
    );

    let both = other_set.merge_into(&merged);
    let (set_names, mut others) = (Vec::from_iter(set.names()), other_set.names());
    if others.all(|name| !set_names.contains(&name)) {
        let mut turned = model_of(&set.merge_into(&other_set.merge_into(&stored)));
        let mut model = model_of(&both);
        turned.sort();
        model.sort();
        assert_eq!(turned, model, "disjoint sets commute");
    }
    let together = set_of(&[one, other].concat());
    assert_eq!(
        together.merge_into(&stored),
        both,
        "one set after the other is one set"
    );

    plans(&mut source, &record, &set, &merged);
}

/// All plans write the same fields, or say why not.
fn plans(source: &mut Source<'_>, record: &SessionRecord, set: &ChangeSet, merged: &[u8]) {
    let (name, by) = (source.name(), i64::from(source.byte() as i8));
    let limit = usize::from(source.byte()) * 8;
    let after = |plan| {
        let save = Save {
            verifier: record.hash(CURRENT),
            version: Version::next(),
            changes: set,
            plan,
            rotate_to: None,
            terms: &AS_THEY_ARE,
            limit,
        };
        let (outcome, after) = save.apply(Some(record), record.seen_ms());
        let after = after.map(|after| SessionRecord::decode(after.as_bytes().clone()));
        match (outcome, after) {
            (SaveOutcome::Saved(saved), Some(Ok(after))) => {
                Some((after.fields().to_vec(), saved.sum))
            }
            (SaveOutcome::TooLarge | SaveOutcome::NotInteger, None) => None,
            (other, _) => panic!("{other:?}"),
        }
    };
    let grows = |fields: &[u8]| fields.len() > limit && fields.len() > record.fields().len();
    let expected = (!grows(merged)).then(|| (merged.to_vec(), None));
    let stale = record.with(&[(VERSION, Version::next().as_bytes())], &[]);
    for plan in [
        Plan::Merge,
        Plan::ReplaceOrMerge(record),
        Plan::ReplaceOrMerge(&stale),
        Plan::ReplaceOrReport(record),
    ] {
        assert_eq!(after(plan), expected);
    }

    let current = fields::find(merged, &name).map_or(Ok(""), std::str::from_utf8);
    let digits = current.unwrap_or("x").trim_start_matches('-');
    let is_number = digits.len() <= 16 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = match current {
        Ok("") if fields::find(merged, &name).is_none() => Some(0),
        Ok(text) if is_number => text.parse::<i64>().ok(),
        _ => None,
    };
    let most = fields::COUNTER_MAX;
    let sum = number
        .filter(|n| n.abs() <= most)
        .map(|n| n + by)
        .filter(|n| n.abs() <= most);
    let added = sum.map(|sum| {
        let mut model = model_of(merged);
        apply(&mut model, &[(name.clone(), Some(sum.to_string().into()))]);
        (bytes_of(&model), Some(sum))
    });
    let expected = added.filter(|(fields, _)| !grows(fields));
    assert_eq!(after(Plan::Add { name: &name, by }), expected);
}

fn set_of(changes: &[(String, Option<Bytes>)]) -> ChangeSet {
    let mut set = ChangeSet::default();
    for (name, value) in changes {
        set.put(name, value.clone());
    }
    set
}

fn apply(model: &mut Fields, changes: &[(String, Option<Bytes>)]) {
    for (name, value) in changes {
        model.retain(|(other, _)| other != name.as_bytes());
        if let Some(value) = value {
            model.insert(0, (name.clone().into_bytes(), value.to_vec()));
        }
    }
}

fn model_of(fields: &[u8]) -> Fields {
    fields::walk(fields)
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}

fn bytes_of(model: &Fields) -> Vec<u8> {
    let mut fields = Vec::new();
    for (name, value) in model {
        push(&mut fields, name, value);
    }
    fields
}

/// Reads one value after the other out of bytes; of none are left, zeros.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or_default()
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        self.0.split_off(..length).unwrap_or_default()
    }

    /// Few names, so that they meet; at times any.
    fn name(&mut self) -> String {
        match self.byte() {
            byte @ ..200 => char::from(b'a' + byte % 6).to_string(),
            _ => {
                let name = String::from_utf8_lossy(self.bytes()).into_owned();
                if is_name(&name) { name } else { "f".to_owned() }
            }
        }
    }

    fn value(&mut self) -> Option<Bytes> {
        match self.byte() % 4 {
            0 => None,
            1 => Some(i64::from(self.byte() as i8).to_string().into()),
            _ => Some(Bytes::copy_from_slice(self.bytes())),
        }
    }

    /// Mostly sound.
    fn fields(&mut self) -> Vec<u8> {
        let mut fields = Vec::new();
        for _ in 0..self.byte() % 6 {
            match self.byte() {
                0 => fields.extend_from_slice(self.bytes()),
                _ => {
                    let name = self.name();
                    fields::push(&mut fields, &name, &self.value().unwrap_or_default());
                }
            }
        }
        fields
    }

    fn changes(&mut self) -> Vec<(String, Option<Bytes>)> {
        (0..self.byte() % 6)
            .map(|_| (self.name(), self.value()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    /// Xorshift: the same bytes every time.
    #[test]
    fn random_change_sets_follow_the_model() {
        let mut state = 1_u64;
        for round in 0..20_000 {
            let mut data = [0; 96];
            for byte in &mut data {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *byte = state as u8;
            }
            let checked = std::panic::catch_unwind(|| super::changes(&data));
            assert!(checked.is_ok(), "in round {round}, with {data:?}");
        }
    }
}
