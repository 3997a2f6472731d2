//! The environment, read once: a wrong variable is one line that names it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tower_handoff::session::{SessionCookie, SessionExpiry, SessionLimits};
use tower_handoff::{ConfigError, Lifecycle, RedisHandle};

/// Everything that the environment says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) probe_listen: Option<SocketAddr>,
    pub(crate) server: Server,
    pub(crate) redis_url: Option<String>,
    command_timeout: Duration,
    pub(crate) key_prefix: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) idle: Duration,
    pub(crate) absolute: Duration,
    pub(crate) field_max: usize,
    pub(crate) session_max: usize,
    pub(crate) lease: Duration,
    pub(crate) settle: Duration,
    pub(crate) grace: Option<Duration>,
    pub(crate) hook: Option<Duration>,
    pub(crate) insecure_cookie: bool,
}

/// Which code serves the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Axum,
    Hyper,
}

/// A line for stderr: variable, value, what is accepted.
#[derive(Debug)]
pub(crate) struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Wrong {
    fn new(variable: &str, value: &str, accepted: impl fmt::Display) -> Self {
        Self(format!("{variable} is {value:?}; accepted: {accepted}"))
    }

    /// The library refused what `variable` said; its value is masked where it may hold a
    /// password.
    pub(crate) fn refused(variable: &str, error: &ConfigError) -> Self {
        Self::new(variable, error.value(), error.accepted())
    }
}

const PREFIXES: &str = "1 to 64 visible ASCII characters without braces";

/// The library's own rule, also where no Redis is asked for.
fn is_prefix(value: &str) -> bool {
    value.len() <= 64
        && value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte))
}

const DAY_MS: u64 = 24 * 3600 * 1000;
const YEAR_MS: u64 = 365 * DAY_MS;

impl Config {
    /// Reads the environment through `lookup`; an empty value counts as unset.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Wrong> {
        let text = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let number = |name: &str, default: u64, min: u64, max: u64| match text(name) {
            None => Ok(default),
            Some(value) => value
                .parse()
                .ok()
                .filter(|number| (min..=max).contains(number))
                .ok_or_else(|| Wrong::new(name, &value, format!("an integer from {min} to {max}"))),
        };
        let millis = |name: &str, default: u64, min: u64, max: u64| {
            number(name, default, min, max).map(Duration::from_millis)
        };
        let addr = |name: &str, value: String| {
            value
                .parse()
                .map_err(|_| Wrong::new(name, &value, "ADDRESS:PORT, for instance 127.0.0.1:3000"))
        };
        let idle = millis("IDLE_MS", 3_600_000, 1, 10 * YEAR_MS)?;
        let absolute = millis("ABSOLUTE_MS", 86_400_000, 1, 10 * YEAR_MS)?;
        if idle > absolute {
            let (variable, value) = match text("ABSOLUTE_MS") {
                Some(value) => ("ABSOLUTE_MS", value),
                None => ("IDLE_MS", idle.as_millis().to_string()),
            };
            let accepted = format!(
                "IDLE_MS ({}) no larger than ABSOLUTE_MS ({})",
                idle.as_millis(),
                absolute.as_millis()
            );
            return Err(Wrong::new(variable, &value, accepted));
        }
        Ok(Self {
            listen: addr(
                "LISTEN",
                text("LISTEN").unwrap_or_else(|| "127.0.0.1:3000".to_owned()),
            )?,
            probe_listen: text("PROBE_LISTEN")
                .map(|value| addr("PROBE_LISTEN", value))
                .transpose()?,
            server: match text("SERVER").as_deref() {
                None | Some("axum") => Server::Axum,
                Some("hyper") => Server::Hyper,
                Some(value) => return Err(Wrong::new("SERVER", value, "axum, hyper")),
            },
            redis_url: text("REDIS_URL"),
            command_timeout: millis("COMMAND_TIMEOUT_MS", 500, 1, 60_000)?,
            key_prefix: match text("KEY_PREFIX") {
                None => "testbed".to_owned(),
                Some(value) if is_prefix(&value) => value,
                Some(value) => return Err(Wrong::new("KEY_PREFIX", &value, PREFIXES)),
            },
            instance_id: text("INSTANCE_ID"),
            idle,
            absolute,
            field_max: usize_of(number("FIELD_MAX_BYTES", 8192, 1, 1 << 20)?),
            session_max: usize_of(number("SESSION_MAX_BYTES", 16384, 1, 1 << 20)?),
            lease: millis("LEASE_MS", 5000, 100, DAY_MS)?,
            settle: millis("SETTLE_MS", 0, 0, DAY_MS)?,
            grace: match text("GRACE_MS") {
                None => None,
                Some(_) => Some(millis("GRACE_MS", 0, 1, DAY_MS)?),
            },
            hook: match text("HOOK_MS") {
                None => None,
                Some(_) => Some(millis("HOOK_MS", 0, 1, DAY_MS)?),
            },
            insecure_cookie: match text("INSECURE_COOKIE").as_deref() {
                None => false,
                Some("1") => true,
                Some(value) => return Err(Wrong::new("INSECURE_COOKIE", value, "1, or unset")),
            },
        })
    }
}

impl Config {
    pub(crate) fn redis(&self) -> Result<Option<RedisHandle>, Wrong> {
        let Some(url) = &self.redis_url else {
            return Ok(None);
        };
        let builder = RedisHandle::builder(url).prefix(&self.key_prefix);
        let handle = builder.command_timeout(self.command_timeout).connect();
        handle.map(Some).map_err(|error| {
            let variable = if error.option() == "prefix" {
                "KEY_PREFIX"
            } else {
                "REDIS_URL"
            };
            Wrong::refused(variable, &error)
        })
    }

    pub(crate) fn lifecycle(&self, redis: Option<RedisHandle>) -> Result<Lifecycle, Wrong> {
        let mut builder = Lifecycle::builder().report_paths(true).settle(self.settle);
        if let Some(grace) = self.grace {
            builder = builder.grace(grace);
        }
        if let Some(time) = self.hook {
            let timeout = time + Duration::from_secs(1);
            builder = builder.on_shutdown("hook", timeout, move || async move {
                tokio::time::sleep(time).await;
                Ok(())
            });
        }
        if let Some(id) = &self.instance_id {
            builder = builder.instance_id(id);
        }
        if let Some(redis) = redis {
            builder = builder.manage(redis);
        }
        builder
            .build()
            .map_err(|error| match (error.option(), self.grace) {
                ("instance_id", _) => Wrong::refused("INSTANCE_ID", &error),
                ("grace", Some(grace)) => {
                    let grace = grace.as_millis().to_string();
                    Wrong::new("GRACE_MS", &grace, error.accepted())
                }
                ("grace", None) => Wrong::refused("GRACE_MS", &error),
                (variable, _) => Wrong::refused(variable, &error),
            })
    }

    pub(crate) fn cookie(&self) -> SessionCookie {
        if self.insecure_cookie {
            SessionCookie::insecure_localhost()
        } else {
            SessionCookie::default()
        }
    }

    pub(crate) fn expiry(&self) -> Result<SessionExpiry, Wrong> {
        SessionExpiry::new(self.idle, self.absolute)
            .map_err(|error| Wrong::refused("IDLE_MS", &error))
    }

    pub(crate) fn limits(&self) -> Result<SessionLimits, Wrong> {
        SessionLimits::new(self.field_max, self.session_max)
            .map_err(|error| Wrong::refused("SESSION_MAX_BYTES", &error))
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
