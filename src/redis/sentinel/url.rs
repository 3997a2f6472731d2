//! `redis-sentinel://`: which sentinels, which master, and how one logs in at the servers.
//!
//! Floor 3.

/// The port that sentinels listen on unless told otherwise.
const PORT: &str = ":26379";

/// A URL with sentinels in it, taken apart.
pub(crate) struct Parts {
    pub(crate) tls: bool,
    pub(crate) name: String,
    /// One ordinary URL for each sentinel, with what the URL says of the servers: user, password
    /// and database.
    pub(crate) each: Vec<String>,
}

/// `None` where it is no good one.
pub(crate) fn parts(url: &str) -> Option<Parts> {
    let (scheme, rest) = url.split_once("://")?;
    let tls = match scheme {
        "redis-sentinel" => false,
        "rediss-sentinel" => true,
        _ => return None,
    };
    let (authority, path) = rest.split_once('/')?;
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (format!("{userinfo}@"), hosts),
        None => (String::new(), authority),
    };
    let (name, db) = path.split_once('/').unwrap_or((path, ""));
    // What a sentinel's configuration takes for a name.
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || !name.bytes().all(named) {
        return None;
    }
    let each = hosts.split(',').map(|host| {
        let port = if has_port(host) { "" } else { PORT };
        (!host.is_empty()).then(|| format!("redis://{userinfo}{host}{port}/{db}"))
    });
    Some(Parts {
        tls,
        name: name.to_owned(),
        each: each.collect::<Option<_>>()?,
    })
}

/// The colons of an IPv6 address stand in brackets.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().unwrap_or(host).contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentinel_gets_a_url_of_its_own() {
        let read = parts("rediss-sentinel://me:p%40@a,b:1,[::1],[::1]:2/main.1/3");
        let read = read.expect("a good one");
        assert!(read.tls);
        assert_eq!(read.name, "main.1");
        let expected = ["a:26379", "b:1", "[::1]:26379", "[::1]:2"];
        let expected = expected.map(|host| format!("redis://me:p%40@{host}/3"));
        assert_eq!(read.each, expected);
    }
}
