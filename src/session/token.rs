//! The secret that a browser holds, how it is written into a cookie, and its digest.
//! Floor 1.
//!
//! A token is a public selector and a secret verifier. The store keeps the SHA-256 of the
//! verifier, so neither a dump of the store nor a log holds anything that lets anyone in.
//! Nothing here that could show a verifier implements `Debug`, `Display` or `Serialize`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::random;
use crate::session::id::SessionId;

/// The first character of a cookie value says how to read the rest.
const FORMAT: u8 = b'1';
const VERIFIER: usize = 24;
const RAW: usize = SessionId::BYTES + VERIFIER;
/// Base64 of `RAW` bytes without padding.
const TEXT: usize = (RAW * 4).div_ceil(3);
/// Longest value of a format that later versions may write and this one only recognises.
const NEWER_MAX: usize = 512;

/// What a browser presents: which session, and the proof that it may use it.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    id: SessionId,
    verifier: [u8; VERIFIER],
}

/// What a cookie value turned out to be.
pub(crate) enum Parsed {
    /// A token of this format; nobody has checked it against the store yet.
    Token(Token),
    /// Written by a newer version of this crate: to be left alone.
    Newer,
    /// Anything else.
    Malformed,
}

impl Token {
    /// A token for a new session.
    pub(crate) fn random() -> Self {
        Self {
            id: SessionId::random(),
            verifier: random::bytes(),
        }
    }

    /// The same session under a new secret.
    pub(crate) fn rotated(&self) -> Self {
        Self {
            id: self.id,
            verifier: random::bytes(),
        }
    }

    pub(crate) fn id(&self) -> &SessionId {
        &self.id
    }

    /// What the store may know of the secret.
    pub(crate) fn hash(&self) -> VerifierHash {
        VerifierHash(Sha256::digest(self.verifier).into())
    }

    /// Reads a cookie value. Costs nothing but the bytes.
    pub(crate) fn parse(value: &[u8]) -> Parsed {
        let Some((&format, text)) = value.split_first() else {
            return Parsed::Malformed;
        };
        match format {
            FORMAT if text.len() == TEXT => {
                Self::decode(text).map_or(Parsed::Malformed, Parsed::Token)
            }
            b'2'..=b'9' if is_newer(text) => Parsed::Newer,
            _ => Parsed::Malformed,
        }
    }

    fn decode(text: &[u8]) -> Option<Self> {
        // The decoder asks for room in whole groups of three.
        let mut raw = [0; TEXT.div_ceil(4) * 3];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut raw).ok()?;
        let (id, verifier) = raw.get(..length)?.split_first_chunk()?;
        Some(Self {
            id: SessionId::from_bytes(*id),
            verifier: verifier.try_into().ok()?,
        })
    }

    /// The cookie value. The only way to the secret.
    pub(crate) fn expose(&self) -> String {
        let mut raw = [0; RAW];
        let (id, verifier) = raw.split_at_mut(SessionId::BYTES);
        id.copy_from_slice(self.id.as_bytes());
        verifier.copy_from_slice(&self.verifier);
        let mut value = String::with_capacity(1 + TEXT);
        value.push(char::from(FORMAT));
        URL_SAFE_NO_PAD.encode_string(raw, &mut value);
        value
    }
}

/// No shorter than ours: ids of other frameworks (numbers, UUIDs, digests in hex) are strangers', and
/// nobody is to be told for ever that a newer version knows better.
fn is_newer(text: &[u8]) -> bool {
    (TEXT..=NEWER_MAX).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The SHA-256 of a session's secret. All that a store ever sees of it.
///
/// Compared in constant time. `Debug` does not show it.
#[derive(Clone, Copy)]
pub struct VerifierHash([u8; VerifierHash::BYTES]);

impl VerifierHash {
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl PartialEq for VerifierHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for VerifierHash {}

impl fmt::Debug for VerifierHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifierHash(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_cookie() {
        let token = Token::random();
        let value = token.expose();
        assert_eq!(value.len(), 55);
        let Parsed::Token(read) = Token::parse(value.as_bytes()) else {
            panic!("not a token");
        };
        assert_eq!(read.expose(), value);
        assert_eq!(read.hash(), token.hash());
        assert!(value[1..].starts_with(&token.id().to_string()[..21]));
    }

    #[test]
    fn rotation_keeps_the_id_and_changes_the_secret() {
        let token = Token::random();
        let next = token.rotated();
        assert_eq!(next.id(), token.id());
        assert_ne!(next.hash(), token.hash());
    }

    #[test]
    fn what_is_no_token_is_malformed_or_newer_and_never_panics() {
        let good = Token::random().expose();
        let kind = |value: &[u8]| match Token::parse(value) {
            Parsed::Token(_) => "token",
            Parsed::Newer => "newer",
            Parsed::Malformed => "malformed",
        };
        // A digit in front would be a format of its own, and good may have one in its second place.
        let headless = format!("A{}", &good[2..]);
        for bad in ["", "1", "0", &headless, &good[..54], "x"] {
            assert_eq!(kind(bad.as_bytes()), "malformed", "{bad}");
        }
        assert_eq!(kind(format!("{good}A").as_bytes()), "malformed");
        assert_eq!(kind(format!("1{}", "!".repeat(54)).as_bytes()), "malformed");
        assert_eq!(kind(&[0xff; 55]), "malformed");
        assert_eq!(kind(format!("2{}", "A".repeat(80)).as_bytes()), "newer");
        assert_eq!(
            kind(format!("2{}", "A".repeat(513)).as_bytes()),
            "malformed"
        );
        assert_eq!(kind(b"9a b"), "malformed");
        for strangers in [
            "2",
            "42",
            "550e8400-e29b-41d4-a716-446655440000",
            "9b74c9897bac770ffc029102a200c5de",
            "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
        ] {
            assert_eq!(kind(strangers.as_bytes()), "malformed", "{strangers}");
        }
        for length in 0..200 {
            let _ = kind(&vec![b'1'; length]);
        }
    }
}
