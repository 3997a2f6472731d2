//! A hash tag in a slot that is wanted: for a key that may be anywhere on a node.
//!
//! Floor 3.

use super::nodes::Nodes;
use super::slot::{self, SLOTS};
use crate::random;
use crate::redis::origin::Origin;

/// Each slot is met once in so many numbers, but for one in e^16 times.
const TRIES: u64 = 16 * SLOTS as u64;

impl Nodes {
    /// A tag in one of the slots that the map gives to this node, another one each time; none where it
    /// has no slot.
    pub(crate) fn tag_at(&self, origin: &Origin) -> Option<String> {
        let state = self.read();
        tag_in(|slot| {
            let link = state.slots.get(usize::from(slot)).and_then(Option::as_ref);
            link.is_some_and(|link| std::ptr::eq(&*link.shared.origin, origin))
        })
    }
}

/// A number whose slot is wanted. Of a third of the slots, three tries; of a single one, half a
/// millisecond.
fn tag_in(wanted: impl Fn(u16) -> bool) -> Option<String> {
    let first = random::below(1 << 32);
    let mut tags = (first..first + TRIES).map(|number| number.to_string());
    tags.find(|tag| wanted(slot::of_tag(tag.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_tag() {
        for wanted in [0, 1, 8_191, SLOTS - 1] {
            let tag = tag_in(|slot| slot == wanted).expect("there is one");
            assert_eq!(slot::of_tag(tag.as_bytes()), wanted);
        }
        assert_eq!(tag_in(|_| false), None);
    }
}
