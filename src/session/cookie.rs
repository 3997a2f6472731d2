//! The cookie that carries a session's token.
//! Floor 3.

use std::time::Duration;

use ::cookie::time::Duration as CookieDuration;
use ::cookie::{Cookie, SameSite};
use http::HeaderValue;

use crate::config::ConfigError;
use crate::session::token::Token;

const NAME_MAX: usize = 128;
const ATTRIBUTE_MAX: usize = 1024;

/// Name and attributes of the session's cookie; cannot break the browsers' rules.
///
/// The default is `__Host-session` with `Secure`, `HttpOnly`, `SameSite=Lax` and `Path=/`: sent
/// over HTTPS only, hidden from scripts, bound to this host.
///
/// It is set when a session is created or rotated, and removed when its owner destroys it. By
/// default it has a `Max-Age` that ends with the session's absolute deadline, so renewals need no
/// new cookie: the store alone ends an idle session. Browsers that follow RFC 6265bis forget a
/// cookie 400 days after it was last set, whatever its `Max-Age`.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    name: Box<str>,
    path: Box<str>,
    domain: Option<Box<str>>,
    same_site: SameSite,
    secure: bool,
    persistent: bool,
}

/// When a browser sends the cookie along with requests that other sites cause.
///
/// A request without the cookie is still served, as nobody's. Where a form on another site leads
/// to a handler that writes, that starts a session, and its cookie takes the place of the
/// visitor's, who is logged out by it. Refuse such requests before the handler, by their `Origin`
/// or `Sec-Fetch-Site`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionSameSite {
    /// Never, not even when a link on another site is followed.
    Strict,
    /// When a link is followed; not with forms and embedded requests. The default.
    Lax,
    /// Always: the application must defend itself against forged requests.
    None,
}

impl SessionCookie {
    /// A cookie called `name`, with the attributes of the default.
    ///
    /// # Errors
    /// Where `name` is empty, longer than 128 bytes, or not a token (RFC 6265).
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let cookie = Self {
            name: name.into(),
            ..Self::default()
        };
        cookie.checked()
    }

    /// A cookie called `session` without `Secure`, for development over plain http.
    ///
    /// It gives up that nobody on the network sees the token, and that no other service on this
    /// host, on whatever port, can overwrite it. Not for production. Chromium takes the default
    /// cookie from `http://localhost` as well; not every browser does, and none from other hosts.
    #[must_use]
    pub fn insecure_localhost() -> Self {
        Self {
            name: "session".into(),
            secure: false,
            ..Self::default()
        }
    }

    /// Sends the cookie to `path` and below only. Default: `/`.
    ///
    /// # Errors
    /// Where `path` does not begin with a slash or holds a character that no path may hold, or
    /// the name begins with `__Host-`, which needs `/`.
    pub fn with_path(self, path: &str) -> Result<Self, ConfigError> {
        let path = path.into();
        Self { path, ..self }.checked()
    }

    /// Sends the cookie to `domain` and its subdomains. Default: to this host only.
    ///
    /// # Errors
    /// Where `domain` is no host name, or the cookie's name begins with `__Host-`, which allows
    /// none.
    pub fn with_domain(self, domain: &str) -> Result<Self, ConfigError> {
        let domain = Some(domain.into());
        Self { domain, ..self }.checked()
    }

    /// When the cookie goes along with requests that other sites cause. Default: `Lax`.
    ///
    /// # Errors
    /// `None` for a cookie that is not `Secure`.
    pub fn with_same_site(self, same_site: SessionSameSite) -> Result<Self, ConfigError> {
        let same_site = match same_site {
            SessionSameSite::Strict => SameSite::Strict,
            SessionSameSite::Lax => SameSite::Lax,
            SessionSameSite::None => SameSite::None,
        };
        Self { same_site, ..self }.checked()
    }

    /// Lets the browser forget the cookie when it closes. Default: it keeps it.
    ///
    /// Many browsers restore their tabs, and such cookies with them.
    #[must_use]
    pub fn until_browser_closes(self) -> Self {
        Self {
            persistent: false,
            ..self
        }
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let error = |option, value: &str, accepted| Err(ConfigError::new(option, value, accepted));
        let name = &*self.name;
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_token) {
            let accepted = "1 to 128 letters, digits and !#$%&'*+-.^_`|~";
            return error("cookie name", name, accepted);
        }
        let path_byte = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b';';
        let sane = self.path.len() <= ATTRIBUTE_MAX && self.path.bytes().all(path_byte);
        if !self.path.starts_with('/') || !sane {
            return error("cookie path", &self.path, "a path that begins with a slash");
        }
        let domain = self.domain.as_deref();
        let is_label = |label: &str| {
            let host_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(host_byte)
        };
        if let Some(domain) = domain {
            // Browsers pass over one dot in front.
            let host = domain.strip_prefix('.').unwrap_or(domain);
            if domain.len() > 255 || !host.split('.').all(is_label) {
                return error("cookie domain", domain, "a host name");
            }
        }
        // Browsers compare the prefixes without regard to case.
        let has_prefix = |prefix: &str| {
            (name.as_bytes().get(..prefix.len()))
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        if has_prefix("__Host-") && *self.path != *"/" {
            return error("cookie path", &self.path, "/ for a __Host- cookie");
        }
        if let Some(domain) = domain.filter(|_| has_prefix("__Host-")) {
            return error("cookie domain", domain, "none for a __Host- cookie");
        }
        if self.same_site == SameSite::None && !self.secure {
            let accepted = "Strict or Lax for a cookie that is not Secure";
            return error("cookie SameSite", "None", accepted);
        }
        Ok(self)
    }

    /// `Set-Cookie` that hands a token out; `persistent` is the session's own word, if it has one.
    pub(crate) fn set(
        &self,
        token: &Token,
        lifetime: Duration,
        persistent: Option<bool>,
    ) -> Option<HeaderValue> {
        let seconds = i64::try_from(lifetime.as_secs().max(1)).unwrap_or(i64::MAX);
        let persistent = persistent.unwrap_or(self.persistent);
        let max_age = persistent.then(|| CookieDuration::seconds(seconds));
        self.header(token.expose(), max_age)
    }

    /// `Set-Cookie` that takes the cookie away: the same attributes, or browsers ignore it.
    pub(crate) fn remove(&self) -> Option<HeaderValue> {
        self.header(String::new(), Some(CookieDuration::ZERO))
    }

    /// `None` cannot happen: every part was checked at construction.
    fn header(&self, value: String, max_age: Option<CookieDuration>) -> Option<HeaderValue> {
        let mut cookie = Cookie::new(&*self.name, value);
        cookie.set_path(&*self.path);
        cookie.set_http_only(true);
        cookie.set_same_site(self.same_site);
        cookie.set_secure(self.secure);
        cookie.set_max_age(max_age);
        if let Some(domain) = &self.domain {
            cookie.set_domain(&**domain);
        }
        let mut header = HeaderValue::from_maybe_shared(cookie.to_string()).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl Default for SessionCookie {
    fn default() -> Self {
        Self {
            name: "__Host-session".into(),
            path: "/".into(),
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
            persistent: true,
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_refuse_is_refused_at_construction() {
        for name in ["", "a b", "a=b", "a;b", "ä", &"a".repeat(129)] {
            assert!(SessionCookie::new(name).is_err(), "{name}");
        }
        assert!(SessionCookie::default().with_path("/x").is_err());
        assert!(SessionCookie::default().with_domain("a.b").is_err());
        assert!(
            SessionCookie::new("__HOST-x")
                .unwrap()
                .with_path("/x")
                .is_err()
        );
        let plain = || SessionCookie::new("sid").unwrap();
        assert!(plain().with_path("x").is_err());
        assert!(plain().with_path("/x; Domain=evil").is_err());
        for domain in ["a;b", "", ".", "..", "a..b", "-", "a-.b", "a.b."] {
            assert!(plain().with_domain(domain).is_err(), "{domain}");
        }
        assert!(plain().with_domain(".a-1.b").is_ok());
        let local = SessionCookie::insecure_localhost();
        let error = local.with_same_site(SessionSameSite::None).unwrap_err();
        assert_eq!(error.option(), "cookie SameSite");
        let secure = SessionCookie::new("__Secure-x").unwrap();
        assert!(secure.with_path("/x").unwrap().with_domain("a.b").is_ok());
    }

    #[test]
    fn headers_are_as_documented() {
        let token = Token::random();
        let header = SessionCookie::default().set(&token, Duration::from_secs(9), None);
        let text = header.unwrap().to_str().unwrap().to_owned();
        let expected = format!(
            "__Host-session={}; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=9",
            token.expose()
        );
        assert_eq!(text, expected);
        let gone = SessionCookie::insecure_localhost().remove().unwrap();
        assert_eq!(gone, "session=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
        let browser = SessionCookie::default().until_browser_closes();
        let header = browser.set(&token, Duration::from_secs(9), None).unwrap();
        assert!(!header.to_str().unwrap().contains("Max-Age"));
        let kept = browser.set(&token, Duration::from_secs(9), Some(true));
        assert!(kept.unwrap().to_str().unwrap().ends_with("; Max-Age=9"));
        assert!(!format!("{header:?}").contains(&token.expose()));
    }
}
