//! What one request knows of its session, and what it has yet to write.
//! Floor 5.

use bytes::Bytes;
use http::HeaderValue;

use crate::session::candidates::Candidates;
use crate::session::change::ChangeSet;
use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::record::SessionRecord;
use crate::session::terms::Terms;
use crate::session::token::Token;
use crate::session::transport::Transport;

/// Everything about a request's session that changes. No lock on it is held across I/O.
pub(crate) struct State {
    pub(crate) known: Known,
    pub(crate) pending: ChangeSet,
    pub(crate) rotate: bool,
    /// What the commit is to change of the session itself.
    pub(crate) terms: Terms,
    pub(crate) sealed: bool,
    /// How many operations that write at their await are under way; the response may need their
    /// cookie.
    pub(crate) writing: u32,
    /// No response will carry a token any more: the session is neither started nor rotated.
    pub(crate) detached: bool,
    /// Something was said that the request cannot do without: see `Session::optional`.
    pub(crate) required: bool,
    /// Kept until a rotation is answered: a command that was sent may come late.
    pub(crate) unanswered: Option<Rotation>,
    /// A rotation that was not answered turned out to be done: the store is to acknowledge it with
    /// the next write, or nobody ever does.
    pub(crate) unacknowledged: bool,
    pub(crate) announce: Announce,
}

/// A rotation that was sent.
#[derive(Clone)]
pub(crate) struct Rotation {
    pub(crate) before: Token,
    pub(crate) after: Token,
    /// What was sent with it.
    pub(crate) terms: Terms,
    /// The session was there when we looked.
    pub(crate) was_live: bool,
}

/// A session as it was read, and the token that opened it.
pub(crate) type Stored = (Token, SessionRecord);

/// Which session the request has, as far as anybody has looked.
pub(crate) enum Known {
    /// Nobody has looked at the cookie.
    Unread(RawCookies),
    /// Several tokens, or one that only a newer version can read: the store must tell.
    Several(Candidates),
    /// One token that nobody has verified.
    Claimed(Token),
    /// A rotation was sent and not answered: the store must tell which token opens the session.
    Rotating,
    /// The request has no session.
    Nobody,
    /// The session was there when we looked, so if it is not any more, it is gone.
    Live(Token, Option<SessionRecord>),
    /// The session was destroyed, rotated or expired: nothing may be written for this request.
    Gone,
}

/// `Cookie` headers, or those of another transport, as they came; parsed at the first touch. One
/// is the rule, more are HTTP/2's.
#[derive(Default)]
pub(crate) struct RawCookies {
    pub(crate) first: Option<HeaderValue>,
    pub(crate) others: Vec<HeaderValue>,
}

/// What the response has to tell the browser.
pub(crate) enum Announce {
    Nothing,
    /// A token, the milliseconds the session may live, and whether the browser keeps the cookie
    /// when it closes, where the session says so.
    Token(Token, u64, Option<bool>),
    /// The session was destroyed by its owner.
    Removal,
}

impl State {
    pub(crate) fn new(cookies: RawCookies) -> Self {
        Self {
            known: Known::Unread(cookies),
            pending: ChangeSet::default(),
            rotate: false,
            terms: Terms::default(),
            sealed: false,
            writing: 0,
            detached: false,
            required: false,
            unanswered: None,
            unacknowledged: false,
            announce: Announce::Nothing,
        }
    }

    /// Reads the token if nobody has yet. Costs no round trip.
    pub(crate) fn known(&mut self, transport: &Transport) -> &mut Known {
        if let Known::Unread(raw) = &self.known {
            let headers = raw.first.iter().chain(&raw.others);
            let found = transport.candidates(headers);
            self.known = match found.first {
                _ if found.newer || !found.others.is_empty() => Known::Several(found),
                Some(token) => Known::Claimed(token),
                None => Known::Nobody,
            };
        }
        &mut self.known
    }

    pub(crate) fn check_open(&self) -> Result<(), SessionError> {
        if self.sealed {
            return Err(SessionErrorKind::Sealed.into());
        }
        Ok(())
    }

    /// Whether what the browser has to hear of can still be said: a detached handle has no response.
    pub(crate) fn check_cookie_open(&self) -> Result<(), SessionError> {
        self.check_open()?;
        if self.detached {
            return Err(SessionErrorKind::Sealed.into());
        }
        Ok(())
    }

    /// A field as this handle sees it: what it said last, else what is stored.
    pub(crate) fn field(&self, name: &str, stored: Option<&Stored>) -> Option<Bytes> {
        match self.pending.get(name) {
            Some(value) => value.cloned(),
            None => stored?.1.field(name),
        }
    }

    /// Whether a commit would have anything to do.
    pub(crate) fn is_dirty(&self) -> bool {
        self.rotate || self.unacknowledged || !self.pending.is_empty() || !self.terms.is_empty()
    }

    /// Whether something was sent whose answer the response has to wait for.
    pub(crate) fn is_under_way(&self) -> bool {
        self.writing > 0 || self.unanswered.is_some()
    }

    /// The rotation that was sent turns out to be done, and what went with it.
    pub(crate) fn rotated(&mut self, sent: &Rotation) {
        self.unacknowledged = true;
        self.rotate = false;
        self.terms.settle(&sent.terms);
    }

    /// Forgets what is not written yet.
    pub(crate) fn discard(&mut self) {
        self.pending.clear();
        self.rotate = false;
        self.unacknowledged = false;
        self.terms = Terms::default();
        self.required = false;
    }
}
