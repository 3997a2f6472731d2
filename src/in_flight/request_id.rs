//! What a request calls itself.
//!
//! Floor 1.

use http::{HeaderName, HeaderValue, Request};

/// No more of it is kept.
const MOST: usize = 64;

/// The request's id, as `header` has it: for operators, who find it in logs and reports.
///
/// The header says what a client likes, so it can become nothing else in there: the first 64 bytes
/// of it, with a `_` for each that is no visible ASCII character. An empty one is none.
pub(crate) fn request_id<B>(request: &Request<B>, header: &HeaderName) -> Option<Box<str>> {
    let value = request.headers().get(header).map(HeaderValue::as_bytes)?;
    let mut text = [b'_'; MOST];
    for (place, byte) in text.iter_mut().zip(value) {
        if byte.is_ascii_graphic() {
            *place = *byte;
        }
    }
    let id = std::str::from_utf8(&text[..value.len().min(MOST)]).ok()?;
    (!id.is_empty()).then(|| id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_more_than_a_bounded_word() {
        let header = HeaderName::from_static("x-request-id");
        let of = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            let request = Request::builder().header(&header, value);
            request_id(&request.body(()).unwrap(), &header)
        };
        assert_eq!(of(b"7f3c-9\"\\").as_deref(), Some("7f3c-9\"\\"));
        assert_eq!(of(b"a b\tc\xff\xc3\xa9").as_deref(), Some("a_b_c___"));
        assert_eq!(of(&[b'x'; 1000]).map(|id| id.len()), Some(64));
        assert_eq!(of(b""), None);
        assert_eq!(request_id(&Request::new(()), &header), None);
    }
}
