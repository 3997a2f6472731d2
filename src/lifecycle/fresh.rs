//! How long a connection is new.
//!
//! Floor 4.

use crate::in_flight::tracker::Token;
use crate::lifecycle::talk::Talk;

/// Holds the gate open until the connection's first request has been counted.
///
/// On HTTP/1 that is so at the first byte of its answer, or at the first flush after its head was
/// read, which hyper does right after it has called the service. HTTP/2 and TLS write, and flush,
/// before there is a request. But who has read it, and flushed, has called the service by the time
/// that it reads again and finds nothing.
pub(crate) struct Fresh {
    token: Option<Token<()>>,
    unseen: Unseen,
}

/// How far a connection is whose requests are not seen.
enum Unseen {
    Begins,
    /// Something was read after the first bytes.
    Read,
    /// And what there was to write is written.
    Flushed,
}

impl Fresh {
    pub(crate) fn new(token: Token<()>) -> Self {
        Self {
            token: Some(token),
            unseen: Unseen::Begins,
        }
    }

    /// Bytes have come.
    pub(crate) fn read(&mut self, before: Talk, talk: Talk) {
        if before == talk && matches!(talk, Talk::Http2 | Talk::Opaque) {
            self.unseen = Unseen::Read;
        }
    }

    /// There is nothing to read.
    pub(crate) fn finds_nothing(&mut self) {
        if matches!(self.unseen, Unseen::Flushed) {
            self.token = None;
        }
    }

    /// Bytes have gone out.
    pub(crate) fn wrote(&mut self, talk: Talk) {
        if talk.is_handed_over() {
            self.token = None;
        }
    }

    /// All is written.
    pub(crate) fn flushes(&mut self, talk: Talk) {
        self.wrote(talk);
        if matches!(self.unseen, Unseen::Read) {
            self.unseen = Unseen::Flushed;
        }
    }
}
