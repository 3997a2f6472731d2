//! A key from the query string.
//!
//! Floor 3.

use std::borrow::Cow;

use http::request::Parts;

use crate::lock::key::source::{KeyFrom, KeyFuture};
use crate::lock::template::Template;

/// The key that `template` makes of the query's parameters: `order:{id}` of `?id=7`.
///
/// Names and values are taken decoded (`%2F`, and `+` for a space) and values then escaped, as
/// [`path`](crate::lock::key::path) does. A parameter that is absent, empty or there more than
/// once is nothing to make a key from: of two, the handler may take the other one.
///
/// ```
/// use tower_handoff::lock::key;
///
/// let per_cart = key::query("cart:{shop}/{cart}"); // ?shop=3&cart=7
/// ```
///
/// # Panics
/// When the template is malformed, at construction, with the reason.
#[must_use]
pub fn query(template: &'static str) -> QueryKey {
    match Template::parse(template) {
        Ok(template) => QueryKey(template),
        Err(error) => panic!("{error}"),
    }
}

/// The source that [`query`] makes.
#[derive(Debug, Clone)]
pub struct QueryKey(Template);

impl KeyFrom for QueryKey {
    fn key(&self, parts: &mut Parts) -> KeyFuture {
        let query = parts.uri.query().unwrap_or_default();
        let pairs: Vec<_> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), decoded(value)))
            .collect();
        let value = |name: &str| {
            let mut values = pairs.iter().filter(|(n, _)| **n == *name.as_bytes());
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Some(&**value),
                _ => None,
            }
        };
        KeyFuture::ready(Ok(self.0.render(value).ok()))
    }
}

/// As browsers and `serde_urlencoded` read it: what is no escape stands for itself.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let digit = |at: usize| Some(char::from(*bytes.get(at)?).to_digit(16)? as u8);
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| Some(digit(at + 1)? << 4 | digit(at + 2)?));
        if let Some(byte) = escaped.flatten() {
            plain.push(byte);
            at += 3;
        } else {
            plain.push(if byte == b'+' { b' ' } else { byte });
            at += 1;
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        for (text, plain) in [
            ("a", &b"a"[..]),
            ("a+b%20c", b"a b c"),
            ("%2f%2F%FF%00", b"//\xff\x00"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%4g%+1", b"%4g% 1"),
            ("%é%41", "%éA".as_bytes()),
        ] {
            assert_eq!(*decoded(text), *plain, "{text}");
        }
    }
}
