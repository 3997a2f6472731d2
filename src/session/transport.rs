//! How a token travels between client and server.
//! Floor 3.

use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE, SET_COOKIE};
use http::{HeaderName, HeaderValue};

use crate::config::ConfigError;
use crate::session::candidates::Candidates;
use crate::session::cookie::SessionCookie;
use crate::session::token::Token;

/// A header that carries the token in place of a cookie: for clients that are no browsers.
///
/// A browser does not send it by itself, so other sites cannot make it act for the user; but
/// scripts hold the token, so one that is smuggled into the page can take it away. Prefer the
/// cookie for pages.
///
/// The answer carries a header with the new token when a session is created or rotated, and with
/// an empty value when its owner destroys it; never cached, and left alone otherwise. Clients on
/// other origins see it only where CORS exposes it.
///
/// ```
/// use tower_handoff::session::{MemorySessions, SessionHeader, SessionLayer};
///
/// // `Authorization: Bearer …` in, `Session-Token: …` out.
/// let bearer = SessionLayer::new(MemorySessions::new()).with_header(SessionHeader::bearer());
/// // `X-Session: …` both ways.
/// let own = SessionHeader::new("x-session")?;
/// # Ok::<(), tower_handoff::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHeader {
    request: HeaderName,
    response: HeaderName,
}

/// Headers that mean something else to clients, servers or what is between them.
const TAKEN: [&str; 8] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "set-cookie",
    "transfer-encoding",
];

impl SessionHeader {
    /// The header called `name`, both ways.
    ///
    /// # Errors
    /// Where `name` is no header's name, or one that has a meaning of its own. For
    /// `Authorization` there is [`bearer`](Self::bearer).
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let name = own_header("session header", name)?;
        Ok(Self {
            request: name.clone(),
            response: name,
        })
    }

    /// `Authorization: Bearer …` in requests, `Session-Token` in answers.
    ///
    /// Other schemes of `Authorization` are left to others.
    #[must_use]
    pub fn bearer() -> Self {
        Self {
            request: AUTHORIZATION,
            response: HeaderName::from_static("session-token"),
        }
    }

    /// Names the answer's header.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_response_header(self, name: &str) -> Result<Self, ConfigError> {
        let response = own_header("session response header", name)?;
        Ok(Self { response, ..self })
    }
}

fn own_header(option: &'static str, name: &str) -> Result<HeaderName, ConfigError> {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) if !TAKEN.contains(&name.as_str()) => Ok(name),
        _ => Err(ConfigError::new(
            option,
            name,
            "a header's name that has no other meaning",
        )),
    }
}

/// A cookie or a header.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Cookie(SessionCookie),
    Header(SessionHeader),
}

impl Transport {
    /// The cookie's or the header's name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Cookie(cookie) => cookie.name(),
            Self::Header(header) => header.request.as_str(),
        }
    }

    /// Whether two layers would read and write the same token.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cookie(one), Self::Cookie(other)) => one.name() == other.name(),
            (Self::Header(one), Self::Header(other)) => one.request == other.request,
            _ => false,
        }
    }

    /// The header that a request brings its token in.
    pub(crate) fn request_header(&self) -> &HeaderName {
        match self {
            Self::Cookie(_) => &COOKIE,
            Self::Header(header) => &header.request,
        }
    }

    /// The tokens in those headers.
    pub(crate) fn candidates<'a>(
        &self,
        headers: impl Iterator<Item = &'a HeaderValue>,
    ) -> Candidates {
        match self {
            Self::Cookie(cookie) => Candidates::in_cookies(cookie.name(), headers),
            Self::Header(header) if header.request == AUTHORIZATION => {
                Candidates::of(headers.filter_map(|value| bearer(value.as_bytes())))
            }
            Self::Header(_) => Candidates::of(headers.map(HeaderValue::as_bytes)),
        }
    }

    /// Whether the token goes out with its lifetime, so that a new one has to be told.
    pub(crate) fn tells_lifetime(&self) -> bool {
        matches!(self, Self::Cookie(_))
    }

    /// The header of an answer that hands a token out.
    pub(crate) fn set(
        &self,
        token: &Token,
        lifetime: Duration,
        persistent: Option<bool>,
    ) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Cookie(cookie) => Some((SET_COOKIE, cookie.set(token, lifetime, persistent)?)),
            Self::Header(header) => {
                let mut value = HeaderValue::from_maybe_shared(token.expose()).ok()?;
                value.set_sensitive(true);
                Some((header.response.clone(), value))
            }
        }
    }

    /// The header of an answer that takes a token away.
    pub(crate) fn remove(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Cookie(cookie) => Some((SET_COOKIE, cookie.remove()?)),
            Self::Header(header) => Some((header.response.clone(), HeaderValue::from_static(""))),
        }
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_are_refused() {
        for name in ["", "a b", "Cookie", "authorization", "HOST", "ä"] {
            let error = SessionHeader::new(name).unwrap_err();
            assert_eq!(error.option(), "session header");
            assert!(SessionHeader::bearer().with_response_header(name).is_err());
        }
        assert!(SessionHeader::new("X-Session").is_ok());
    }

    #[test]
    fn bearer_tokens_are_found_beside_other_schemes() {
        let token = Token::random();
        let transport = Transport::Header(SessionHeader::bearer());
        let found = |text: &str| {
            let header = HeaderValue::from_str(text).unwrap();
            transport.candidates([&header].into_iter()).tokens().count()
        };
        let text = token.expose();
        assert_eq!(found(&format!("Bearer {text}")), 1);
        assert_eq!(found(&format!("bEARER   {text} ")), 1);
        for other in ["Basic ", "Bearer", "", "Bearer\t", "Bearer x"] {
            assert_eq!(found(&format!("{other}{text}")), 0, "{other}");
        }
        assert_eq!(found("Bearer "), 0);
        assert_eq!(found("Bear"), 0);
    }
}
