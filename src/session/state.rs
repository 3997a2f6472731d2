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
    /// An operation that writes at its await is under way; the response may need its cookie.
    pub(crate) writing: bool,
    /// No response will carry a token any more: the session is neither started nor rotated.
    pub(crate) detached: bool,
    /// The request goes on where the store is away.
    pub(crate) optional: bool,
    pub(crate) announce: Announce,
}

/// Which session the request has, as far as anybody has looked.
pub(crate) enum Known {
    /// Nobody has looked at the cookie.
    Unread(RawCookies),
    /// Several tokens, or one that only a newer version can read: the store must tell.
    Several(Candidates),
    /// One token that nobody has verified.
    Claimed(Token),
    /// The request has no session.
    Nobody,
    /// The session was there when we looked, so if it is not any more, it is gone.
    Live(Token, Option<SessionRecord>),
    /// The session was destroyed, rotated or expired: nothing may be written for this request.
    Gone,
}

/// `Cookie` headers, or those of another transport, as they came; parsed at the first touch. One is the rule, more are HTTP/2's.
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
            writing: false,
            detached: false,
            optional: false,
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
    pub(crate) fn field(&self, name: &str) -> Option<Bytes> {
        match (self.pending.get(name), &self.known) {
            (Some(value), _) => value.cloned(),
            (None, Known::Live(_, Some(record))) => record.field(name),
            _ => None,
        }
    }

    /// Whether a commit would have anything to do.
    pub(crate) fn is_dirty(&self) -> bool {
        self.rotate || !self.pending.is_empty() || !self.terms.is_empty()
    }

    /// Forgets what is not written yet.
    pub(crate) fn discard(&mut self) {
        self.pending.clear();
        self.rotate = false;
        self.terms = Terms::default();
    }
}
