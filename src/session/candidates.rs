//! The tokens that a request presents.
//! Floor 1.

use http::HeaderValue;

use crate::session::token::{Parsed, Token};

/// More bytes of headers than this are not looked at: the request has no session.
pub(crate) const HEADERS_MAX: usize = 8 * 1024;
/// Cookies of one name that are tried; a browser sends several where paths or domains overlap.
const CANDIDATES_MAX: usize = 4;

/// What the request presents, unverified.
#[derive(Clone, Default)]
pub(crate) struct Candidates {
    /// In the order in which the browser sent them: the most specific path first.
    pub(crate) first: Option<Token>,
    /// Up to three more. Rarely any.
    pub(crate) others: Vec<Token>,
    /// There is one that only a newer version can read.
    pub(crate) newer: bool,
}

impl Candidates {
    /// The tokens in the cookies of this name.
    ///
    /// Read as bytes, so that another cookie that is not ASCII does not cost the session.
    pub(crate) fn in_cookies<'a>(
        name: &str,
        headers: impl Iterator<Item = &'a HeaderValue>,
    ) -> Self {
        let pairs = headers.flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
        Self::of(pairs.filter_map(|pair| {
            let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=")
        }))
    }

    /// The tokens among these values.
    pub(crate) fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut found = Self::default();
        for value in values {
            match Token::parse(value) {
                Parsed::Token(token) if found.first.is_none() => found.first = Some(token),
                Parsed::Token(token) if found.others.len() + 1 < CANDIDATES_MAX => {
                    found.others.push(token);
                }
                Parsed::Newer => found.newer = true,
                _ => {}
            }
        }
        found
    }

    /// All of them.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.first.iter().chain(&self.others).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_between_other_cookies() {
        let (a, b) = (Token::random(), Token::random());
        let header = format!(
            "x=\u{e4}; session={};session=bogus;  session={} ; session2={}",
            a.expose(),
            b.expose(),
            a.expose()
        );
        let header = HeaderValue::from_bytes(header.as_bytes()).unwrap();
        let found = Candidates::in_cookies("session", [&header].into_iter());
        let hashes: Vec<_> = found.tokens().map(|token| token.hash()).collect();
        assert_eq!(hashes, [a.hash(), b.hash()]);
        assert!(!found.newer);
        let many = HeaderValue::from_str(&format!("session={};", a.expose()).repeat(9)).unwrap();
        assert_eq!(
            Candidates::in_cookies("session", [&many].into_iter())
                .tokens()
                .count(),
            4
        );
    }
}
