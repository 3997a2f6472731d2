//! How long a connection is new.
//!
//! Floor 4.

use crate::lifecycle::talk::Talk;

/// Whether the connection's first request has been counted; until then the gate is held open for it.
///
/// On HTTP/1 that is so at the first byte of its answer, or at the first flush after its head was
/// read, which hyper does right after it has called the service. HTTP/2 and TLS write, and flush,
/// before there is a request. But who has read it, and flushed, has called the service by the time
/// that it reads again and finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fresh {
    Begins,
    /// TLS, and the server has answered to the first of what its peer says: to all of it, in however
    /// many pieces that came.
    Answered,
    /// Requests are not seen here, and something was read after the first bytes.
    Read,
    /// And what there was to write is written.
    Flushed,
    /// And more was read. It is no part of a handshake.
    ReadOn,
    /// HTTP/2 that somebody tells to end: it is new until it has ended.
    Told,
    /// It is new no longer.
    Over,
}

impl Fresh {
    /// Bytes have come.
    pub(crate) fn read(&mut self, before: Talk, talk: Talk, bytes: &[u8]) {
        let unseen = before == talk && matches!(talk, Talk::Http2 | Talk::Tls | Talk::Opaque);
        if unseen {
            *self = match self {
                Self::Begins if talk == Talk::Tls => Self::Begins,
                Self::Answered | Self::Read if talk == Talk::Tls && is_hello(bytes) => Self::Begins,
                Self::Begins | Self::Answered | Self::Read => Self::Read,
                Self::Flushed | Self::ReadOn => Self::ReadOn,
                Self::Told | Self::Over => return,
            };
        }
    }

    /// There is nothing to read.
    pub(crate) fn finds_nothing(&mut self) {
        if *self == Self::Flushed {
            *self = Self::Over;
        }
    }

    /// Bytes have gone out.
    pub(crate) fn wrote(&mut self, talk: Talk) {
        self.is_over_where_handed(talk);
        if talk == Talk::Tls && *self == Self::Begins {
            *self = Self::Answered;
        }
    }

    fn is_over_where_handed(&mut self, talk: Talk) {
        if talk.is_handed_over() {
            *self = Self::Over;
        }
    }

    /// On TLS: the peer has said hello, and not all that a handshake takes.
    pub(crate) fn shakes_hands(self) -> bool {
        matches!(self, Self::Begins | Self::Answered | Self::Read)
    }

    /// All is written.
    pub(crate) fn flushes(&mut self, talk: Talk) {
        self.is_over_where_handed(talk);
        if matches!(self, Self::Read | Self::ReadOn) {
            *self = Self::Flushed;
        }
    }
}

/// TLS 1.3: the peer's second hello, which a server asks for that does not like the first one's key. In
/// front of it there may be a change of cipher, which means nothing.
fn is_hello(bytes: &[u8]) -> bool {
    const CHANGE_OF_CIPHER: &[u8] = &[0x14, 3, 3, 0, 1, 1];
    let record = bytes.strip_prefix(CHANGE_OF_CIPHER).unwrap_or(bytes);
    // The length of the record, then the kind of the message and its length.
    matches!(record, [0x16, 3, _, _, _, 1, 0, ..])
}
