//! What a handler has changed and nobody has written yet.
//! Floor 1.

use std::sync::Arc;

use bytes::Bytes;

use crate::session::fields;

/// Fields to set and to remove: the latest word on each name.
///
/// Applied to a session's fields it touches no other field, so two requests that write different
/// fields of one session both keep what they wrote.
#[derive(Clone, Default)]
pub(crate) struct ChangeSet {
    entries: Vec<Entry>,
    /// Grows with every change, so that a write can tell what it carried from what came after.
    last: u64,
}

#[derive(Clone)]
struct Entry {
    /// Shared, so that a copy of the set is one allocation.
    name: Arc<str>,
    /// `None` removes the field.
    value: Option<Bytes>,
    number: u64,
}

impl ChangeSet {
    pub(crate) fn put(&mut self, name: &str, value: Option<Bytes>) {
        self.last += 1;
        self.entries.retain(|entry| *entry.name != *name);
        self.entries.push(Entry {
            name: name.into(),
            value,
            number: self.last,
        });
    }

    /// What was said about `name`: a value, or that it goes.
    pub(crate) fn get(&self, name: &str) -> Option<Option<&Bytes>> {
        let entry = self.entries.iter().find(|entry| *entry.name == *name)?;
        Some(entry.value.as_ref())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether any field is set; removals alone need no session.
    pub(crate) fn sets_any(&self) -> bool {
        self.entries.iter().any(|entry| entry.value.is_some())
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Forgets what `written`, an earlier copy of this set, carried to the store.
    pub(crate) fn settle(&mut self, written: &ChangeSet) {
        self.entries.retain(|entry| entry.number > written.last);
    }

    /// The fields with these changes: new values stand in front, and what is named is cut out
    /// behind them.
    pub(crate) fn merge_into(&self, old: &[u8]) -> Vec<u8> {
        self.merge_behind(&[], old)
    }

    /// As [`merge_into`](Self::merge_into), behind what stands in front of the fields.
    pub(crate) fn merge_behind(&self, head: &[u8], old: &[u8]) -> Vec<u8> {
        let mut merged = Vec::with_capacity(head.len() + old.len() + self.new_size());
        merged.extend_from_slice(head);
        self.push_new(&mut merged);
        fields::push_without(&mut merged, old, |name| {
            self.names().any(|changed| changed.as_bytes() == name)
        });
        merged
    }

    /// The names that change.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// The fields that are set, the latest first.
    pub(crate) fn new_values(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        let entries = self.entries.iter().rev();
        entries.filter_map(|entry| Some((&*entry.name, entry.value.as_ref()?)))
    }

    fn new_size(&self) -> usize {
        self.new_values()
            .map(|(name, value)| fields::FIELD_HEAD + name.len() + value.len())
            .sum()
    }

    /// Bytes of all names, a length in front of each, and of the new fields.
    #[cfg(feature = "redis")]
    pub(crate) fn size(&self) -> usize {
        self.names().map(|name| 1 + name.len()).sum::<usize>() + self.new_size()
    }

    fn push_new(&self, fields: &mut Vec<u8>) {
        for (name, value) in self.new_values() {
            fields::push(fields, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_latest_word_counts_and_other_fields_stay() {
        let mut old = Vec::new();
        fields::push(&mut old, "keep", b"k");
        fields::push(&mut old, "drop", b"d");
        fields::push(&mut old, "set", b"1");
        let mut changes = ChangeSet::default();
        changes.put("set", bytes("2"));
        changes.put("drop", None);
        changes.put("new", bytes("n"));
        changes.put("set", bytes("3"));
        let merged = changes.merge_into(&old);
        let names: Vec<_> = fields::walk(&merged).map(|field| field.name).collect();
        assert_eq!(names, [&b"set"[..], b"new", b"keep"]);
        assert_eq!(fields::find(&merged, "set"), Some(&b"3"[..]));
        assert_eq!(fields::find(&merged, "keep"), Some(&b"k"[..]));
    }

    #[test]
    fn what_came_after_a_write_is_still_to_be_written() {
        let mut changes = ChangeSet::default();
        changes.put("a", bytes("1"));
        changes.put("b", bytes("1"));
        let written = changes.clone();
        changes.put("a", bytes("2"));
        changes.settle(&written);
        assert_eq!(changes.get("a"), Some(Some(&Bytes::from_static(b"2"))));
        assert_eq!(changes.get("b"), None);
    }
}
