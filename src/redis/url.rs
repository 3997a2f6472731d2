//! Where Redis is: the URL, and what is said about one that cannot be accepted.
//!
//! Floor 3.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::config::ConfigError;

#[cfg(feature = "sentinel")]
use super::sentinel::url::parts;

#[cfg(feature = "tls-rustls")]
const ACCEPTED: &str = "redis:// or, for TLS, rediss://, then [[user]:password@]host[:port][/db], or \
     unix:///path[?db=n&user=…&pass=…], the port from 1 to 65535";
#[cfg(not(feature = "tls-rustls"))]
const ACCEPTED: &str = "redis://[[user]:password@]host[:port][/db] or unix:///path[?db=n&user=…&pass=…], \
     the port from 1 to 65535; rediss:// only with the crate's feature `tls-rustls`";

#[cfg(feature = "sentinel")]
const SENTINELS: &str = "redis-sentinel:// or, with the crate's feature `tls-rustls`, rediss-sentinel://, \
     then [[user]:password@]host[:port][,host[:port]…]/name-of-the-master[/db], the ports from 1 to 65535";
#[cfg(not(feature = "sentinel"))]
const SENTINELS: &str = "redis:// and what else is documented; redis-sentinel:// and rediss-sentinel:// only \
     with the crate's feature `sentinel`";
#[cfg(not(feature = "cluster"))]
const NO_CLUSTER: &str = "redis-cluster:// and rediss-cluster:// only with the crate's feature \
     `cluster`; without it redis://[[user]:password@]host[:port][/db] of one server";

/// What a URL says.
pub(crate) struct Place {
    /// With sentinels, everything but the address.
    pub(crate) info: ConnectionInfo,
    #[cfg(feature = "tls-rustls")]
    pub(crate) tls: bool,
    /// The master's name, and where to ask for it.
    #[cfg(feature = "sentinel")]
    pub(crate) sentinels: Option<(String, Vec<ConnectionAddr>)>,
}

#[cfg(feature = "tls-rustls")]
impl Place {
    /// Every address that the URL itself names.
    pub(crate) fn addresses(&self) -> Vec<ConnectionAddr> {
        #[cfg(feature = "sentinel")]
        if let Some((_, sentinels)) = &self.sentinels {
            return sentinels.clone();
        }
        vec![self.info.addr().clone()]
    }
}

/// Reads `url` and settles what this crate needs of a connection.
pub(crate) fn parse(url: &str) -> Result<Place, ConfigError> {
    #[cfg(not(feature = "cluster"))]
    if url.starts_with("redis-cluster:") || url.starts_with("rediss-cluster:") {
        return Err(ConfigError::new("url", mask(url), NO_CLUSTER));
    }
    if url.starts_with("redis-sentinel:") || url.starts_with("rediss-sentinel:") {
        return by_sentinels(url).ok_or_else(|| ConfigError::new("url", mask(url), SENTINELS));
    }
    one(url).ok_or_else(|| ConfigError::new("url", mask(url), ACCEPTED))
}

#[cfg(not(feature = "sentinel"))]
fn by_sentinels(_: &str) -> Option<Place> {
    None
}

#[cfg(feature = "sentinel")]
fn by_sentinels(url: &str) -> Option<Place> {
    let parts = parts(url)?;
    if parts.tls && cfg!(not(feature = "tls-rustls")) {
        return None;
    }
    let each = parts.each.iter().map(|url| one(url));
    let each = each.collect::<Option<Vec<_>>>()?;
    let addresses = each.iter().map(|place| place.info.addr().clone()).collect();
    Some(Place {
        #[cfg(feature = "tls-rustls")]
        tls: parts.tls,
        sentinels: Some((parts.name, addresses)),
        ..each.into_iter().next()?
    })
}

/// Reads the URL of one server.
fn one(url: &str) -> Option<Place> {
    let mut parsed = redis::parse_redis_url(url)?;
    let tls = matches!(parsed.scheme(), "rediss" | "valkeys");
    if tls && (cfg!(not(feature = "tls-rustls")) || parsed.set_scheme("redis").is_err()) {
        return None;
    }
    let unix = parsed.scheme().ends_with("unix");
    let known = |name: &str| {
        if unix {
            matches!(name, "db" | "user" | "pass")
        } else {
            false
        }
    };
    // A setting that would be ignored is worse than an error: somebody relies on it.
    if parsed.fragment().is_some() || parsed.query_pairs().any(|(name, _)| !known(&name)) {
        return None;
    }
    let info = parsed.into_connection_info().ok()?;
    let reachable = match info.addr() {
        ConnectionAddr::Tcp(host, port) => !host.is_empty() && *port != 0,
        ConnectionAddr::Unix(path) => path.as_os_str() != "/" && !path.as_os_str().is_empty(),
        _ => false,
    };
    if !reachable || info.redis_settings().db() < 0 {
        return None;
    }
    // RESP3: messages of the inbox and the loss of the connection arrive beside the replies.
    let settings = info
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    let info = info.set_redis_settings(settings);
    Some(Place {
        info,
        #[cfg(feature = "tls-rustls")]
        tls,
        #[cfg(feature = "sentinel")]
        sentinels: None,
    })
}

/// The URL as it may be shown: what can be a password is not.
///
/// It must hold for malformed URLs too, so it goes by punctuation, not by a parsed URL.
pub(crate) fn mask(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (userinfo, rest) = match rest.rsplit_once('@') {
        Some((userinfo, rest)) => (Some(userinfo), rest),
        None => (None, rest),
    };
    match userinfo {
        // The query holds an `@`, or the password a `?`: nobody can tell where either ends.
        Some(userinfo) if userinfo.contains('?') => format!("{scheme}***"),
        Some(_) => format!("{scheme}***@{}", mask_query(rest)),
        None => format!("{scheme}{}", mask_query(&mask_port(rest))),
    }
}

/// What stands in place of a port and is none may be a password whose host was forgotten.
fn mask_port(rest: &str) -> String {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let each = authority.split(',').map(|one| match one.rsplit_once(':') {
        Some((host, port)) if host.is_empty() || !is_port(port) => format!("{host}:***"),
        _ => one.to_owned(),
    });
    format!("{}{path}", each.collect::<Vec<_>>().join(","))
}

/// Digits, or the last part of an IPv6 address.
fn is_port(text: &str) -> bool {
    text.ends_with(']') || text.bytes().all(|byte| byte.is_ascii_digit())
}

fn mask_query(rest: &str) -> String {
    let Some((path, query)) = rest.split_once('?') else {
        return rest.to_owned();
    };
    let names: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=***"),
            None => "***".to_owned(),
        })
        .collect();
    format!("{path}?{}", names.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_password_is_masked() {
        for (url, shown) in [
            ("redis://:secret@host:1/0", "redis://***@host:1/0"),
            ("redis://user:se@cret@host", "redis://***@host"),
            ("redis://secret@host", "redis://***@host"),
            ("redis://u:se?cret@host", "redis://***"),
            ("redis:/u:secret@host", "***@host"),
            ("redis://:secret", "redis://:***"),
            ("redis://user:secret/0", "redis://user:***/0"),
            ("redis://host:65536/0", "redis://host:65536/0"),
            ("redis://[::1]/x", "redis://[::1]/x"),
            ("host:6379", "host:6379"),
            (
                "redis-cluster://u:secret,host:1",
                "redis-cluster://u:***,host:1",
            ),
            (
                "redis-cluster://u:se,cret@a,b:1",
                "redis-cluster://***@a,b:1",
            ),
            ("redis-sentinel://a,b:1/m/0", "redis-sentinel://a,b:1/m/0"),
            (
                "redis-sentinel://u:secret,b:1/m",
                "redis-sentinel://u:***,b:1/m",
            ),
            ("unix:///p?db=1&pass=secret", "unix:///p?db=***&pass=***"),
            ("unix:///p?pass=sec@ret", "unix://***"),
            ("unix:///p?secret", "unix:///p?***"),
        ] {
            assert_eq!(mask(url), shown, "{url}");
        }
    }
}
