//! What a request says of its session itself, beside fields and secret.
//! Floor 1.

use std::sync::Arc;

use crate::session::error::{SessionError, SessionErrorKind};
use crate::session::expiry::SessionExpiry;

/// Longest name of a user, in bytes.
pub(crate) const USER_MAX: usize = 256;
/// Longest label of a session, in bytes.
pub(crate) const LABEL_MAX: usize = 255;

/// Whose the session is, what it is called, and how long it and its cookie live.
///
/// `None` leaves things as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// An empty name makes it nobody's.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) label: Option<Arc<str>>,
    /// Other time-outs than before; the absolute one starts anew.
    pub(crate) expiry: Option<SessionExpiry>,
    /// Whether the browser keeps the cookie when it closes: as the layer says, yes, or no.
    pub(crate) persistent: Option<Option<bool>>,
}

/// Nothing changes.
pub(crate) static AS_THEY_ARE: Terms = Terms {
    user: None,
    label: None,
    expiry: None,
    persistent: None,
};

impl Terms {
    pub(crate) fn is_empty(&self) -> bool {
        self.user.is_none() && self.label.is_none() && !self.change_cookie()
    }

    /// Whether somebody logs in.
    pub(crate) fn bind(&self) -> bool {
        self.user.as_ref().is_some_and(|user| !user.is_empty())
    }

    /// Whether the browser has to hear of it.
    pub(crate) fn change_cookie(&self) -> bool {
        self.expiry.is_some() || self.persistent.is_some()
    }

    /// With what a login starts over, unless something else was said: its clocks, its cookie.
    pub(crate) fn resolved(mut self, expiry: SessionExpiry) -> Self {
        if self.bind() {
            self.expiry.get_or_insert(expiry);
            self.persistent.get_or_insert(None);
        }
        self
    }

    /// Forgets what was written, and keeps what a clone of the handle said meanwhile.
    pub(crate) fn settle(&mut self, written: &Self) {
        let same = |one: &Option<Arc<str>>, other: &Option<Arc<str>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        if same(&self.user, &written.user) {
            self.user = None;
        }
        if same(&self.label, &written.label) {
            self.label = None;
        }
        if self.expiry == written.expiry {
            self.expiry = None;
        }
        if self.persistent == written.persistent {
            self.persistent = None;
        }
    }
}

/// Refuses what is no user's name.
pub(crate) fn check_user(user: &str) -> Result<(), SessionError> {
    match user.len() {
        1..=USER_MAX => Ok(()),
        _ => Err(SessionErrorKind::InvalidUser.into()),
    }
}

/// As much of a label as is kept, to the end of a character.
pub(crate) fn cut_label(label: &str) -> &str {
    let mut end = label.len().min(LABEL_MAX);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    &label[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_1_to_256_bytes() {
        let kind = |user: &str| check_user(user).map_err(|error| error.kind());
        for user in ["a", "{}", "\0", "ä:*", &"x".repeat(256)] {
            assert_eq!(kind(user), Ok(()));
        }
        for user in ["", &"x".repeat(257)] {
            assert_eq!(kind(user), Err(SessionErrorKind::InvalidUser));
        }
    }

    #[test]
    fn a_label_is_cut_between_characters() {
        assert_eq!(cut_label("Firefox"), "Firefox");
        assert_eq!(cut_label(&"x".repeat(300)).len(), 255);
        assert_eq!(cut_label(&format!("x{}", "ä".repeat(200))).len(), 255);
        assert_eq!(cut_label(&"ä".repeat(200)).len(), 254);
    }
}
