//! One `Set-Cookie` by the rules that browsers keep: RFC 6265bis with its prefixes, CHIPS, and the
//! limits that Chromium, Firefox and WebKit share. And one of the house: always `HttpOnly`.

/// A `Set-Cookie`, taken apart as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
    attributes: Vec<(&'a str, Option<&'a str>)>,
}

/// Beyond it browsers ignore the cookie: name and value together.
const PAIR_MAX: usize = 4096;
/// Beyond it browsers ignore the attribute.
const ATTRIBUTE_MAX: usize = 1024;
/// Beyond it browsers end the cookie early: 400 days.
const AGE_MAX: u64 = 400 * 24 * 60 * 60;

impl<'a> SetCookie<'a> {
    /// `None` where no browser could.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split("; ");
        let (name, value) = parts.next()?.split_once('=')?;
        let attribute = |part: &'a str| match part.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (part, None),
        };
        Some(Self {
            name,
            value,
            attributes: parts.map(attribute).collect(),
        })
    }

    /// The attribute's value, empty where it has none.
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut found =
            (self.attributes.iter()).filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next_back().map(|(_, value)| value.unwrap_or(""))
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn max_age(&self) -> Option<i64> {
        self.get("Max-Age")?.parse().ok()
    }

    /// Whether it takes the cookie away.
    pub(super) fn is_removal(&self) -> bool {
        self.max_age().is_some_and(|age| age <= 0) || self.value.is_empty()
    }

    /// Whether browsers end it before its time.
    pub(super) fn is_cut_short(&self) -> bool {
        self.max_age().is_some_and(|age| age > AGE_MAX as i64)
    }

    /// All but the time: a removal that differs here misses the cookie, or is itself refused.
    pub(super) fn identity(&self) -> Vec<String> {
        let timed = |name: &str| ["max-age", "expires"].contains(&name);
        let mut all: Vec<_> = (self.attributes.iter())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.unwrap_or("")))
            .filter(|(name, _)| !timed(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        all.sort();
        all
    }

    /// The rules it breaks.
    pub(super) fn faults(&self) -> Vec<&'static str> {
        let mut faults = Vec::new();
        let mut rule = |holds: bool, rule| {
            if !holds {
                faults.push(rule);
            }
        };
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        rule(
            !self.name.is_empty() && self.name.bytes().all(token),
            "the name is a token",
        );
        let octet = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
        rule(
            self.value.bytes().all(octet),
            "the value has no space, quote, comma, semicolon, backslash or control character",
        );
        rule(
            self.name.len() + self.value.len() <= PAIR_MAX,
            "name and value are 4096 bytes at most",
        );
        rule(
            (self.attributes.iter()).all(|(_, value)| value.unwrap_or("").len() <= ATTRIBUTE_MAX),
            "an attribute's value is 1024 bytes at most",
        );
        let mut seen: Vec<_> = (self.attributes.iter())
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        seen.sort();
        rule(
            seen.windows(2).all(|pair| pair[0] != pair[1]),
            "no attribute stands twice",
        );
        const KNOWN: [&str; 8] = [
            "domain",
            "expires",
            "httponly",
            "max-age",
            "partitioned",
            "path",
            "samesite",
            "secure",
        ];
        rule(
            seen.iter().all(|name| KNOWN.contains(&name.as_str())),
            "every attribute is one that browsers know",
        );
        rule(
            ["secure", "httponly", "partitioned"].iter().all(|flag| {
                let valued = |(name, value): &(&str, Option<&str>)| {
                    name.eq_ignore_ascii_case(flag) && value.is_some()
                };
                !self.attributes.iter().any(valued)
            }),
            "flags have no value",
        );
        let host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        let domain = self.get("Domain");
        rule(
            domain.is_none_or(|domain| !domain.is_empty() && domain.bytes().all(host)),
            "the domain is a host name",
        );
        let path = self.get("Path");
        let path_byte = |byte: u8| (0x20..0x7f).contains(&byte);
        rule(
            path.is_none_or(|path| path.starts_with('/') && path.bytes().all(path_byte)),
            "the path begins with a slash and holds no control character",
        );
        let digits = |text: &str| {
            let digits = text.strip_prefix('-').unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        rule(
            self.get("Max-Age").is_none_or(digits)
                && self.has("Max-Age") == self.max_age().is_some(),
            "Max-Age is a number",
        );
        rule(
            self.get("Expires")
                .is_none_or(|date| date.len() == 29 && date.ends_with(" GMT")),
            "Expires is a date as in RFC 9110",
        );
        let same_site = self.get("SameSite");
        rule(
            same_site.is_none_or(|value| ["Strict", "Lax", "None"].contains(&value)),
            "SameSite is Strict, Lax or None",
        );
        let secure = self.has("Secure");
        rule(
            same_site != Some("None") || secure,
            "SameSite=None needs Secure",
        );
        rule(
            !self.has("Partitioned") || (secure && path == Some("/")),
            "Partitioned needs Secure and Path=/",
        );
        // Browsers compare the prefixes without regard to case.
        let name = self.name.to_ascii_lowercase();
        rule(
            !["__secure-", "__http-", "__host-"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                || secure,
            "__Secure-, __Http- and __Host- need Secure",
        );
        rule(
            !name.starts_with("__host-") || (path == Some("/") && domain.is_none()),
            "__Host- needs Path=/ and no Domain",
        );
        rule(self.has("HttpOnly"), "scripts do not see it: HttpOnly");
        rule(
            self.value.is_empty() == self.max_age().is_some_and(|age| age <= 0),
            "a removal is an empty value with Max-Age=0, and nothing else is",
        );
        faults
    }
}

#[test]
fn good_cookies_pass() {
    for text in [
        "__Host-session=1abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=86400",
        "__Host-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0",
        "session=1; HttpOnly; SameSite=Strict; Path=/app; Domain=example.com",
        "a=b; HttpOnly; SameSite=None; Secure; Path=/; Partitioned",
        "a=b; HttpOnly; Expires=Wed, 21 Oct 2015 07:28:00 GMT",
    ] {
        let cookie = SetCookie::parse(text).expect("well-formed");
        assert_eq!(cookie.faults(), [""; 0], "{text}");
    }
}

#[test]
fn a_cookie_that_breaks_a_rule_is_told_which() {
    let long = |length| "x".repeat(length);
    for (text, rule) in [
        ("a b=c; HttpOnly".to_owned(), "the name is a token"),
        ("=c; HttpOnly".to_owned(), "the name is a token"),
        ("\u{e4}=c; HttpOnly".to_owned(), "the name is a token"),
        ("a=b c; HttpOnly".to_owned(), "the value has no space"),
        ("a=\"b\"; HttpOnly".to_owned(), "the value has no space"),
        ("a=b,c; HttpOnly".to_owned(), "the value has no space"),
        ("a=b\x07; HttpOnly".to_owned(), "the value has no space"),
        ("a=\u{fffd}; HttpOnly".to_owned(), "the value has no space"),
        // Without the space it is part of the value for those who read strictly.
        (
            "a=b;HttpOnly; HttpOnly".to_owned(),
            "the value has no space",
        ),
        (format!("a={}; HttpOnly", long(4096)), "name and value are"),
        (
            format!("a=b; HttpOnly; Path=/{}", long(1024)),
            "an attribute's value",
        ),
        (
            "a=b; HttpOnly; Path=/; path=/x".to_owned(),
            "no attribute stands twice",
        ),
        (
            "a=b; HttpOnly; Priority=High".to_owned(),
            "every attribute is one",
        ),
        ("a=b; HttpOnly; Secure=1".to_owned(), "flags have no value"),
        (
            "a=b; HttpOnly; Domain=".to_owned(),
            "the domain is a host name",
        ),
        (
            "a=b; HttpOnly; Domain=a_b:80".to_owned(),
            "the domain is a host name",
        ),
        ("a=b; HttpOnly; Path=x".to_owned(), "the path begins"),
        ("a=b; HttpOnly; Path=/\t".to_owned(), "the path begins"),
        (
            "a=b; HttpOnly; Max-Age=1.5".to_owned(),
            "Max-Age is a number",
        ),
        ("a=b; HttpOnly; Max-Age=".to_owned(), "Max-Age is a number"),
        (
            format!("a=b; HttpOnly; Max-Age={}", u128::MAX),
            "Max-Age is a number",
        ),
        (
            "a=b; HttpOnly; Expires=tomorrow".to_owned(),
            "Expires is a date",
        ),
        ("a=b; HttpOnly; SameSite=Some".to_owned(), "SameSite is"),
        (
            "a=b; HttpOnly; SameSite=None".to_owned(),
            "SameSite=None needs",
        ),
        (
            "a=b; HttpOnly; Path=/; Partitioned".to_owned(),
            "Partitioned needs",
        ),
        (
            "a=b; HttpOnly; Secure; Partitioned".to_owned(),
            "Partitioned needs",
        ),
        ("__Secure-a=b; HttpOnly".to_owned(), "__Secure-, __Http-"),
        ("__http-a=b; HttpOnly".to_owned(), "__Secure-, __Http-"),
        (
            "__Host-a=b; HttpOnly; Path=/".to_owned(),
            "__Secure-, __Http-",
        ),
        ("__HOST-a=b; HttpOnly; Secure".to_owned(), "__Host- needs"),
        (
            "__Host-a=b; HttpOnly; Secure; Path=/x".to_owned(),
            "__Host- needs",
        ),
        (
            "__Host-a=b; HttpOnly; Secure; Path=/; Domain=a.b".to_owned(),
            "__Host- needs",
        ),
        ("a=b; Secure".to_owned(), "scripts do not see it"),
        ("a=b; HttpOnly; Max-Age=0".to_owned(), "a removal is"),
        ("a=; HttpOnly".to_owned(), "a removal is"),
    ] {
        let faults = SetCookie::parse(&text).expect("a pair").faults();
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert!(faults[0].starts_with(rule), "{text}: {faults:?}");
    }
    assert_eq!(SetCookie::parse("no pair; HttpOnly"), None);
}

#[test]
fn browsers_cut_short_what_is_to_live_for_more_than_400_days() {
    let cookie = |age| format!("a=b; HttpOnly; Max-Age={age}");
    let is_cut_short = |text: &str| SetCookie::parse(text).expect("a pair").is_cut_short();
    assert!(!is_cut_short(&cookie(AGE_MAX)));
    assert!(is_cut_short(&cookie(AGE_MAX + 1)));
}
