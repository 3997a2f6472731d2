//! Of a record's head, what is neither secret nor time: user, label, flags.
//! Floor 1.
//!
//! ```text
//! offset  size
//!    113     1  flags; unknown ones are kept. The lowest two: 1 the browser keeps the cookie when
//!               it closes, 2 it does not, 0 as the layer says
//!    114     2  length of the user's name, big-endian; zero where it is nobody's
//!    116     1  length of the label
//!    117        the user's name, the label, the fields
//! ```

use crate::session::terms::{Terms, USER_MAX};

pub(crate) const FLAGS: usize = 113;
const USER: usize = 114;
const LABEL: usize = 116;
/// What every record has.
pub(crate) const HEADER: usize = 117;
/// The flags that say whether the browser keeps the cookie.
const KEEPING: u8 = 3;

/// Where the fields begin in a record that is at least a header.
pub(crate) fn fields_at(record: &[u8]) -> usize {
    HEADER + user_length(record) + usize::from(record[LABEL])
}

fn user_length(record: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([record[USER], record[USER + 1]]))
}

/// The user's name and the label, in a record that is sound; nothing in place of what is no text.
pub(crate) fn owner(record: &[u8]) -> (&str, &str) {
    let (user, label) = owner_bytes(record);
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    (text(user), text(label))
}

fn owner_bytes(record: &[u8]) -> (&[u8], &[u8]) {
    record[HEADER..fields_at(record)].split_at(user_length(record))
}

/// Whether name and label of a record that is at least a header are there. The scripts cannot tell
/// text from other bytes, so nobody asks that of a record.
pub(crate) fn is_sound(record: &[u8]) -> bool {
    user_length(record) <= USER_MAX && record.len() >= fields_at(record)
}

/// What the flags say about the cookie.
pub(crate) fn persistent(record: &[u8]) -> Option<bool> {
    persistent_of(record[FLAGS])
}

pub(crate) fn persistent_of(flags: u8) -> Option<bool> {
    match flags & KEEPING {
        1 => Some(true),
        2 => Some(false),
        _ => None,
    }
}

pub(crate) fn flags_of(persistent: Option<bool>) -> u8 {
    match persistent {
        None => 0,
        Some(true) => 1,
        Some(false) => 2,
    }
}

/// The record on other terms, whose time-outs are the caller's to write, and with other fields.
pub(crate) fn rebuilt(record: &[u8], terms: &Terms, fields: &[u8]) -> Vec<u8> {
    let (user, label) = owner_bytes(record);
    let user = terms.user.as_deref().map_or(user, str::as_bytes);
    let label = terms.label.as_deref().map_or(label, str::as_bytes);
    let room = HEADER + user.len() + label.len() + fields.len();
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(&record[..HEADER]);
    if let Some(persistent) = terms.persistent {
        bytes[FLAGS] = bytes[FLAGS] & !KEEPING | flags_of(persistent);
    }
    bytes[USER..LABEL].copy_from_slice(&(user.len() as u16).to_be_bytes());
    bytes[LABEL] = label.len() as u8;
    for part in [user, label, fields] {
        bytes.extend_from_slice(part);
    }
    bytes
}
