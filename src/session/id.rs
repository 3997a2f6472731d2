//! The public name of a session: safe to log, useless without the secret half of the token.
//! Floor 1.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random;

/// The public half of a session's token: what the store files the session under.
///
/// Stays the same through [`Session::rotate`](crate::session::Session::rotate). Knowing it lets
/// nobody in, so it may stand in logs and in lists of devices. [`Display`](fmt::Display) writes 22
/// characters of URL-safe base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; SessionId::BYTES]);

impl SessionId {
    pub(crate) const BYTES: usize = 16;

    /// Bytes that [`text`](Self::text) takes.
    pub(crate) const TEXT: usize = 22;

    /// What [`Display`](fmt::Display) writes, without an allocation.
    pub(crate) fn text<'a>(&self, buffer: &'a mut [u8; Self::TEXT]) -> &'a str {
        match URL_SAFE_NO_PAD.encode_slice(self.0, buffer) {
            Ok(_) => std::str::from_utf8(buffer).unwrap_or_default(),
            Err(_) => "",
        }
    }

    /// A name nobody has used: 128 random bits.
    pub(crate) fn random() -> Self {
        Self(random::bytes())
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes, for a store whose keys are bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Reads what [`Display`](fmt::Display) wrote, as a form of a list of devices sends it back.
impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The decoder asks for room in whole groups of three.
        let mut raw = [0; 18];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut raw);
        match length
            .ok()
            .and_then(|length| raw.get(..length)?.try_into().ok())
        {
            Some(bytes) => Ok(Self(bytes)),
            None => Err(ParseSessionIdError(())),
        }
    }
}

/// A text is no session's public id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSessionIdError(());

impl fmt::Display for ParseSessionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session's public id has 22 characters of URL-safe base64")
    }
}

impl Error for ParseSessionIdError {}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; Self::TEXT]))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written() {
        let id = SessionId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        let long = "A".repeat(1000);
        for text in ["", "A", &"A".repeat(21), &"A".repeat(24), "{}", "ä", &long] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
        // Two spellings of one id would be two.
        assert!(format!("{}B", "A".repeat(21)).parse::<SessionId>().is_err());
    }
}
