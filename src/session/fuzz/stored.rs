//! What stores hold, and what may be written to them.
//! Floor 5.

use crate::session::error::StoreErrorKind;
use crate::session::expiry::SessionExpiry;
use crate::session::fields;
use crate::session::limits::{check_name, is_name};
use crate::session::record::{CURRENT, SessionRecord, Verdict, Version};
use crate::session::terms::{AS_THEY_ARE, LABEL_MAX, cut_label};
use crate::session::token::VerifierHash;

/// What lies under a session's key; and the same behind the header of a sound record.
pub fn record(data: &[u8]) {
    stored(data);
    let sound = sound_record();
    let fixed = &sound.as_bytes()[..113];
    stored(&[fixed, data].concat());
}

fn stored(bytes: &[u8]) {
    let record = match SessionRecord::decode(bytes.to_vec()) {
        Ok(record) => record,
        Err(error) => {
            let newer = bytes.first().is_some_and(|format| *format > 1);
            assert_eq!(error.kind() == StoreErrorKind::NewerFormat, newer);
            return;
        }
    };
    assert_eq!(record.as_bytes(), bytes);
    assert_eq!(
        record.on(&AS_THEY_ARE, &[], record.fields()).as_bytes(),
        &bytes
    );
    let mut fields = Vec::new();
    for field in fields::walk(record.fields()) {
        push(&mut fields, field.name, field.value);
        if let Ok(name) = std::str::from_utf8(field.name) {
            assert!(record.field(name).is_some());
        }
    }
    assert_eq!(fields, record.fields());
    let head = bytes.len() - fields.len();
    #[cfg(feature = "redis")]
    for length in [head, bytes.len().min(head + 40)] {
        let Ok(read) = SessionRecord::decode_head(bytes[..length].to_vec()) else {
            panic!("a head of a sound record")
        };
        assert_eq!((read.user(), read.label()), (record.user(), record.label()));
    }
    let named = record.user().unwrap_or_default().len() + record.label().len();
    let owner = &bytes[117..head];
    assert!(named == owner.len() || named < owner.len() && !owner.is_ascii());
    assert!(record.expires_ms() <= record.deadline_ms());
    let own = record.hash(CURRENT);
    assert_eq!(record.verify(&own, record.seen_ms()), Verdict::Current);
    let Some(renewed) = record.renewed(&own, 1 << 40) else {
        panic!("its own verifier")
    };
    assert!(SessionRecord::decode(renewed.as_bytes().clone()).is_ok());
    let _ = (format!("{record:?}"), record.persistent());
}

/// As [`fields::push`], for names that are no text.
pub(super) fn push(fields: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    fields.push(name.len() as u8);
    fields.extend_from_slice(&(value.len() as u32).to_be_bytes());
    fields.extend_from_slice(name);
    fields.extend_from_slice(value);
}

/// What a field, a user or a session may be called.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let named = (1..=128).contains(&text.len()) && !text.starts_with('\0');
    assert_eq!(is_name(text), named);
    assert_eq!(check_name(text).is_ok(), named);
    if named {
        let mut stored = Vec::new();
        // The first counts, should the name be the other's.
        fields::push(&mut stored, text, data);
        fields::push(&mut stored, "other", b"1");
        let record = sound_record().with(&[], &stored);
        let Ok(record) = SessionRecord::decode(record.as_bytes().clone()) else {
            panic!("it is read again")
        };
        assert_eq!(record.field(text).as_deref(), Some(data));
    }
    let label = cut_label(text);
    assert!(text.starts_with(label) && label.len() <= LABEL_MAX);
    assert!(label == text || label.len() > LABEL_MAX - 4);
}

pub(super) fn sound_record() -> SessionRecord {
    let verifier = VerifierHash::from_bytes([7; 32]);
    let expiry = SessionExpiry::default();
    let version = Version::next();
    SessionRecord::new(
        &verifier,
        version,
        &expiry,
        &AS_THEY_ARE,
        &[],
        1_700_000_000_000,
    )
}
