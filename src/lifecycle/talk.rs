//! What a connection's bytes say of how far its talk has come.
//!
//! Floor 1.

use crate::lifecycle::asks::{Asks, begin_request};
use crate::lifecycle::blank_line::rest_of_head;

/// Read from the bytes that pass, without parsing them: a few comparisons for each read and write.
///
/// A guess where bytes alone cannot tell (the rest of a body that comes after its answer), and
/// built so that a wrong guess waits for nobody who is gone: whatever it says is over with the
/// next answer. An upgrade that was asked for before the answer in front of it came is not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Nothing was read but, maybe, the first bytes of HTTP/2's preface.
    New { preface: u8 },
    /// HTTP/1, and the next byte begins a request.
    Idle,
    /// HTTP/1, within a request's head; so much of the blank line behind it has been read.
    Head { blank_line: u8 },
    /// The head is whole; the service may not have been called yet.
    Whole,
    /// The service has been called; its answer has not begun.
    Asked,
    /// `101 Switching Protocols` was written, or yes to a CONNECT: the bytes are somebody else's
    /// now.
    Upgraded,
    /// HTTP/2: which of its streams are at work is not seen from here.
    Http2,
    /// TLS, whose first record is a handshake's.
    Tls,
    /// Nothing that is known.
    Opaque,
}

/// Of HTTP/2. What only begins so is a request like any other.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The kind of a record of TLS.
const TLS_HANDSHAKE: u8 = 0x16;

impl Talk {
    pub(crate) const fn new() -> Self {
        Self::New { preface: 0 }
    }

    /// A head has begun and is not whole: the peer has something to ask.
    pub(crate) fn in_head(self) -> bool {
        matches!(self, Self::Head { .. } | Self::New { preface: 1.. })
    }

    /// What is left of `bytes` behind HTTP/2's preface, which they end or follow.
    pub(crate) fn behind_preface(self, bytes: &[u8]) -> &[u8] {
        match self {
            Self::New { preface: 0 } => &without_empty_lines(bytes)[PREFACE.len()..],
            Self::New { preface } => &bytes[PREFACE.len() - usize::from(preface)..],
            _ => bytes,
        }
    }

    /// HTTP/1, and what was read has reached the service, as far as it is for the service.
    pub(crate) fn is_handed_over(self) -> bool {
        matches!(self, Self::Idle | Self::Asked | Self::Upgraded)
    }

    /// These bytes came from the peer, whose last request asked for `last`. Where they begin a request,
    /// says what it asks for.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], last: Asks) -> Option<Asks> {
        match *self {
            Self::New { preface: 0 } | Self::Idle => {
                let bytes = without_empty_lines(bytes);
                let before = *self;
                *self = match before {
                    Self::Idle => head(bytes, last),
                    _ => first(0, bytes),
                };
                return (*self != before).then(|| Asks::of(bytes));
            }
            Self::New { preface } => *self = first(preface, bytes),
            Self::Head { blank_line } => *self = head_from(blank_line, bytes),
            // A body, or requests sent ahead.
            _ => {}
        }
        None
    }

    /// These bytes go to the peer, whose last request asked for `asks`.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8], asks: Asks) {
        if matches!(self, Self::Whole | Self::Asked | Self::Head { .. }) {
            *self = answer(bytes, asks);
        }
    }

    /// The server has done what it can with what it has read, which hyper says right after it
    /// has called the service.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if *self == Self::Whole {
            *self = Self::Asked;
        }
    }
}

fn first(preface: u8, bytes: &[u8]) -> Talk {
    let rest = &PREFACE[usize::from(preface)..];
    let same = rest.iter().zip(bytes).take_while(|(a, b)| a == b).count();
    match u8::try_from(same).unwrap_or(u8::MAX) {
        _ if same == rest.len() => Talk::Http2,
        more if same == bytes.len() => Talk::New {
            preface: preface + more,
        },
        _ if preface > 0 => match head_from(0, &PREFACE[..usize::from(preface)]) {
            Talk::Head { blank_line } => head_from(blank_line, bytes),
            whole => whole,
        },
        // No body can be in front of it, so any method will do.
        _ if may_begin_method(bytes[0]) => head_from(0, bytes),
        _ if bytes[0] == TLS_HANDSHAKE => Talk::Tls,
        _ => Talk::Opaque,
    }
}

/// A method is a token, whatever its letters. TLS and HTTP's blanks begin with none of these.
fn may_begin_method(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The first bytes after an answer to `last`. What begins no request is the rest of a body; where there
/// was none, as far as the method tells, any method will do.
fn head(bytes: &[u8], last: Asks) -> Talk {
    let begins = match bytes.first() {
        None => false,
        Some(_) if last == Asks::Upload => begin_request(bytes),
        Some(byte) => may_begin_method(*byte),
    };
    match begins {
        true => head_from(0, bytes),
        false => Talk::Idle,
    }
}

/// A server passes over empty lines in front of a request.
fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    &bytes[empty.count()..]
}

fn head_from(blank_line: u8, bytes: &[u8]) -> Talk {
    match rest_of_head(blank_line, bytes) {
        None => Talk::Whole,
        Some(blank_line) => Talk::Head { blank_line },
    }
}

/// What follows an answer that begins with `bytes`.
fn answer(bytes: &[u8], asks: Asks) -> Talk {
    let Some(status) = bytes.strip_prefix(b"HTTP/1.1 ") else {
        return Talk::Idle;
    };
    match (status, asks) {
        ([b'1', b'0', b'1', ..], _) => Talk::Upgraded,
        ([b'2', ..], asks) if asks.is_connect() => Talk::Upgraded,
        // `100 Continue` and its like: the answer is still to come.
        ([b'1', ..], _) => Talk::Asked,
        _ => Talk::Idle,
    }
}

#[cfg(test)]
mod tests;
