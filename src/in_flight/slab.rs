//! Values at fixed places, without an allocation once it has grown.
//!
//! Floor 0.

/// A vector with holes that are filled first.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Option<u32>,
}

#[derive(Debug)]
enum Slot<T> {
    Taken(T),
    Free { next: Option<u32> },
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: None,
        }
    }

    /// Keeps `value`; its place, or none when there are 2^32 of them.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(place) = self.free
            && let Some(slot) = self.slots.get_mut(place as usize)
            && let Slot::Free { next } = slot
        {
            self.free = *next;
            *slot = Slot::Taken(value);
            return Some(place);
        }
        let place = u32::try_from(self.slots.len()).ok()?;
        if self.slots.len() == self.slots.capacity() {
            // By an eighth and not to the double: there may be one for each idle connection.
            self.slots.reserve_exact(self.slots.len() / 8 + 8);
        }
        self.slots.push(Slot::Taken(value));
        Some(place)
    }

    /// Takes the value at `place` out.
    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let slot = self.slots.get_mut(place as usize)?;
        if matches!(slot, Slot::Free { .. }) {
            return None;
        }
        let next = self.free.replace(place);
        match std::mem::replace(slot, Slot::Free { next }) {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        match self.slots.get_mut(place as usize)? {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken(value) => Some(value),
            Slot::Free { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_never_by_two() {
        let mut slab = Slab::new();
        let places: Vec<u32> = (0..4).filter_map(|n| slab.insert(n)).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        assert_eq!(slab.remove(1), Some(1));
        assert_eq!(slab.remove(1), None);
        assert_eq!(slab.remove(3), Some(3));
        assert_eq!(slab.insert(30), Some(3));
        assert_eq!(slab.insert(10), Some(1));
        assert_eq!(slab.insert(40), Some(4));
        assert_eq!(slab.iter().copied().collect::<Vec<_>>(), [0, 10, 2, 30, 40]);
        *slab.get_mut(2).unwrap() = 20;
        assert_eq!(slab.remove(2), Some(20));
    }
}
