//! Bytes that are no record, or one of a newer version.
//! Floor 1.

use super::*;
use crate::session::token::Token;

#[test]
fn hostile_bytes_are_errors_and_never_panic() {
    let hash = Token::random().hash();
    let mut fields = Vec::new();
    fields::push(&mut fields, "a", b"value");
    let expiry = SessionExpiry::default();
    let terms = Terms {
        user: Some("ada".into()),
        label: Some("désktop".into()),
        persistent: Some(Some(false)),
        ..Terms::default()
    };
    let record = SessionRecord::new(&hash, Version::next(), &expiry, &terms, &fields, 1_000);
    assert_eq!((record.user(), record.label()), (Some("ada"), "désktop"));
    assert_eq!(record.persistent(), Some(false));
    assert_eq!(record.fields(), fields);
    let good = record.as_bytes().to_vec();
    let head = good.len() - fields.len();
    assert!(SessionRecord::decode(good.clone()).is_ok());
    for length in 0..good.len() {
        let cut = SessionRecord::decode(good[..length].to_vec());
        assert_eq!(cut.is_ok(), length == head, "{length}");
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(record) = SessionRecord::decode(flipped) {
                let _ = (
                    record.expires_ms(),
                    record.user().map(str::len),
                    record.label().len(),
                    record.field("a"),
                    fields::walk(record.fields()).count(),
                );
            }
        }
    }
}

#[test]
fn a_newer_format_is_told_from_nonsense() {
    let kind = |bytes: &[u8]| SessionRecord::decode(bytes.to_vec()).unwrap_err().kind();
    assert_eq!(kind(&[2]), StoreErrorKind::NewerFormat);
    assert_eq!(kind(&[0; 200]), StoreErrorKind::Corrupt);
    assert_eq!(kind(&[]), StoreErrorKind::Corrupt);
}
