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
        let first = random::below(1 << 32);
        let is_own = |tag: &String| {
            let link = state.slots[usize::from(slot::of_tag(tag.as_bytes()))].as_ref();
            link.is_some_and(|link| std::ptr::eq(&*link.shared.origin, origin))
        };
        // For a node with a usual share of the slots, three of them.
        let mut few = (first..first + 64).map(|number| number.to_string());
        if let Some(tag) = few.find(is_own) {
            return Some(tag);
        }
        let links = state.slots.iter().map(Option::as_ref);
        let own = links.map(|link| link.is_some_and(|it| std::ptr::eq(&*it.shared.origin, origin)));
        let own: Vec<bool> = own.collect();
        // What changes the map does not wait for the search.
        drop(state);
        tag_in(&own, &mut (first..first + TRIES))
    }
}

/// A number whose slot is wanted. Of a single one, half a millisecond; of none, not one try.
fn tag_in(wanted: &[bool], numbers: &mut impl Iterator<Item = u64>) -> Option<String> {
    if !wanted.contains(&true) {
        return None;
    }
    let mut tags = numbers.map(|number| number.to_string());
    tags.find(|tag| wanted[usize::from(slot::of_tag(tag.as_bytes()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_tag_and_where_none_is_wanted_none_is_looked_for() {
        let none = [false; SLOTS as usize];
        for slot in [0, 1, 8_191, SLOTS - 1] {
            let mut wanted = none;
            wanted[usize::from(slot)] = true;
            let tag = tag_in(&wanted, &mut (0..TRIES)).expect("there is one");
            assert_eq!(slot::of_tag(tag.as_bytes()), slot);
        }
        let mut numbers = 0..TRIES;
        assert_eq!(tag_in(&none, &mut numbers), None);
        assert_eq!(numbers, 0..TRIES);
    }
}
