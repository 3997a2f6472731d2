//! What can be set about the connection, and how it begins.
//!
//! Floor 3.

use std::fmt;
use std::time::Duration;

use tokio::runtime::Handle;

#[cfg(feature = "cluster")]
use super::cluster::{router::Router, url as cluster_url};
use super::dial::Target;
use super::handle::RedisHandle;
use super::keyspace::Keyspace;
#[cfg(feature = "sentinel")]
use super::sentinel::survey::Credentials;
use super::shared::Settings;
use super::start::start;
#[cfg(feature = "tls-rustls")]
use super::tls::TlsOptions;
use super::url::{self, Place};
use super::whereabouts::Whereabouts;
use crate::config::ConfigError;
use crate::instance::checked_id;

/// Settings of a [`RedisHandle`]; begins with [`RedisHandle::builder`].
///
/// ```
/// use std::time::Duration;
/// use tower_handoff::redis::RedisHandle;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_handoff::ConfigError> {
/// let redis = RedisHandle::builder("redis://127.0.0.1:6379/2")
///     .prefix("shop")
///     .command_timeout(Duration::from_millis(250))
///     .connect()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens before `connect`"]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    command_timeout: Duration,
    connect_timeout: Duration,
    queue_bound: usize,
    instance: Option<String>,
    #[cfg(feature = "tls-rustls")]
    tls: TlsOptions,
    #[cfg(feature = "sentinel")]
    sentinel_credentials: Option<Credentials>,
}

impl RedisHandle {
    /// Connects with every default. Never waits for Redis: the connection is made, and made
    /// again, in the background.
    ///
    /// Accepted are `redis://[[user]:password@]host[:port][/db]` (port 6379, database 0),
    /// `rediss://…` for TLS (with the feature `tls-rustls`), and
    /// `unix:///path[?db=n&user=…&pass=…]`, also spelled `redis+unix://`; with the feature `cluster`
    /// `redis-cluster://[[user]:password@]host[:port][,host[:port]…]` and `rediss-cluster://…`, where
    /// there is no database but 0: see [Redis Cluster](crate::redis#redis-cluster). Special characters in
    /// names and passwords are percent-encoded.
    ///
    /// With the feature `sentinel` also `redis-sentinel://[[user]:password@]host[:port],…/name[/db]`
    /// and `rediss-sentinel://…`: the hosts are sentinels (port 26379), the name is the master's, user,
    /// password and database are the servers'. Both are spoken to over TLS or neither is, with the same
    /// roots; a server's certificate must be for the address that the sentinels give, an IP address
    /// unless they are set to `resolve-hostnames` and `announce-hostnames`.
    ///
    /// With TLS, Redis's certificate must be for the URL's host, and one of the system's roots must
    /// vouch for it, unless [`tls_roots`](RedisBuilder::tls_roots) names others. The system's are
    /// read from disk here, once.
    ///
    /// # Errors
    /// A URL that is none of these (a password in it is masked in the error), TLS on a system
    /// without roots, or a call outside of a tokio runtime.
    pub fn connect(url: &str) -> Result<Self, ConfigError> {
        Self::builder(url).connect()
    }

    /// Settings to change before connecting.
    pub fn builder(url: impl Into<String>) -> RedisBuilder {
        RedisBuilder {
            url: url.into(),
            prefix: "app".to_owned(),
            command_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            queue_bound: 65_536,
            instance: None,
            #[cfg(feature = "tls-rustls")]
            tls: TlsOptions::default(),
            #[cfg(feature = "sentinel")]
            sentinel_credentials: None,
        }
    }
}

impl RedisBuilder {
    /// The first part of every key: 1 to 64 printable ASCII characters without braces and
    /// spaces. Default `app`. Applications that share a Redis need one each.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a command waits for its reply, from 1 ms to 60 s. Default 500 ms.
    ///
    /// It is also the measure for the connection: one that left a command unanswered for so
    /// long and stays silent for half of it again is replaced.
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// How long one attempt to connect may take, login included, from 1 ms to 10 s. Default
    /// 1 s. A new attempt begins at least every 500 ms whatever is set here.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many commands may be queued, and as many again, up to 1024 or so, be waiting for replies,
    /// before further ones fail with [`Away`](crate::redis::RedisErrorKind::Away); from 1 to 2^20.
    /// Default 65 536.
    pub fn queue_bound(mut self, commands: usize) -> Self {
        self.queue_bound = commands;
        self
    }

    /// What operators are told that this instance is called, where they ask who
    /// [holds a lock](crate::lock::Holder): 1 to 64 visible ASCII characters. Give it the name that
    /// [`LifecycleBuilder::instance_id`](crate::lifecycle::LifecycleBuilder::instance_id) has.
    /// Default: twelve random digits, for each handle.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance = Some(id.into());
        self
    }

    /// Who may vouch for Redis's certificate, in place of the system's roots: one or more CA
    /// certificates in PEM, or the server's own where it signed itself. Only with `rediss://`.
    ///
    /// Read once, by [`connect`](Self::connect): a new root takes a new handle.
    ///
    /// ```
    /// use tower_handoff::redis::RedisHandle;
    ///
    /// # fn pem(_: &str) -> std::io::Result<Vec<u8>> { Ok(b"no certificate".to_vec()) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// # use pem as read;
    /// let redis = RedisHandle::builder("rediss://redis.internal")
    ///     .tls_roots(read("/etc/redis/ca.pem")?)
    ///     .connect();
    /// assert_eq!(redis.unwrap_err().option(), "tls_roots"); // there was no certificate in it
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls-rustls")]
    pub fn tls_roots(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.roots = Some(pem.into());
        self
    }

    /// Who this process is, for a Redis that asks (`tls-auth-clients`): its certificate, followed
    /// by those that signed it, and its private key, in PEM. Default none. Only with `rediss://`.
    ///
    /// Read once, by [`connect`](Self::connect): a renewed certificate takes a new handle.
    #[cfg(feature = "tls-rustls")]
    pub fn tls_identity(
        mut self,
        certificates: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.identity = Some((certificates.into(), key.into()));
        self
    }

    /// Who this process is to the sentinels. Default nobody: what the URL says is for the servers.
    /// Only with `redis-sentinel://` and `rediss-sentinel://`.
    ///
    /// The user is `default` where the sentinels have a `requirepass` and no users. A restricted user
    /// needs `HELLO` and, of `SENTINEL`, `GET-MASTER-ADDR-BY-NAME` and `MASTER`.
    ///
    /// ```
    /// use tower_handoff::redis::RedisHandle;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_handoff::ConfigError> {
    /// let redis = RedisHandle::builder("redis-sentinel://:for-redis@a.internal,b.internal/main")
    ///     .sentinel_credentials("default", "for-sentinels")
    ///     .connect()?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "sentinel")]
    pub fn sentinel_credentials(
        mut self,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.sentinel_credentials = Some(Credentials {
            user: user.into(),
            password: password.into(),
        });
        self
    }

    /// Starts the supervisor on the tokio runtime of the moment and returns at once.
    ///
    /// Commands sent before the first attempt to connect has ended wait for it, no longer than
    /// the command time-out.
    ///
    /// # Errors
    /// A setting outside of what its method states, or a call outside of a tokio runtime.
    pub fn connect(self) -> Result<RedisHandle, ConfigError> {
        #[cfg(feature = "cluster")]
        let (place, seeds) = cluster_url::parse(&self.url)?;
        #[cfg(not(feature = "cluster"))]
        let place = url::parse(&self.url)?;
        let whereabouts = self.whereabouts(place)?;
        let keyspace = Keyspace::checked(&self.prefix)?;
        within(
            "command_timeout",
            self.command_timeout,
            Duration::from_secs(60),
            "1 ms to 60 s",
        )?;
        within(
            "connect_timeout",
            self.connect_timeout,
            Duration::from_secs(10),
            "1 ms to 10 s",
        )?;
        if !(1..=1 << 20).contains(&self.queue_bound) {
            return Err(ConfigError::new(
                "queue_bound",
                self.queue_bound,
                "1 to 1048576 commands",
            ));
        }
        let runtime = Handle::try_current().map_err(|_| {
            ConfigError::new("runtime", "none", "a call from within a tokio runtime")
        })?;

        let instance = self.instance.map(checked_id).transpose()?;
        let settings = Settings {
            whereabouts,
            command_timeout: self.command_timeout,
            connect_timeout: self.connect_timeout,
            queue_bound: self.queue_bound,
            instance: instance.map(Into::into),
        };
        #[cfg(feature = "cluster")]
        if let Some(seeds) = seeds {
            let way = Router::start(seeds, settings.clone(), &keyspace, &runtime);
            return Ok(RedisHandle::new(way, keyspace, settings, runtime));
        }
        Ok(start(&runtime, settings, keyspace))
    }

    fn whereabouts(&self, place: Place) -> Result<Whereabouts, ConfigError> {
        #[cfg(feature = "tls-rustls")]
        let tls = self.tls.build(place.tls, &place.addresses())?;
        let target = Target {
            info: place.info,
            #[cfg(feature = "tls-rustls")]
            tls,
        };
        #[cfg(feature = "sentinel")]
        return Whereabouts::new(
            target,
            place.sentinels,
            self.sentinel_credentials.as_ref(),
            self.connect_timeout,
        );
        #[cfg(not(feature = "sentinel"))]
        Ok(Whereabouts::Fixed(target))
    }
}

fn within(
    option: &'static str,
    value: Duration,
    most: Duration,
    accepted: &'static str,
) -> Result<(), ConfigError> {
    if (Duration::from_millis(1)..=most).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::new(option, format!("{value:?}"), accepted))
    }
}

impl fmt::Debug for RedisBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            prefix,
            command_timeout,
            connect_timeout,
            queue_bound,
            #[cfg(feature = "tls-rustls")]
            tls,
            instance,
            #[cfg(feature = "sentinel")]
            sentinel_credentials,
        } = self;
        let mut shown = f.debug_struct("RedisBuilder");
        shown
            .field("url", &url::mask(url))
            .field("prefix", prefix)
            .field("command_timeout", command_timeout)
            .field("connect_timeout", connect_timeout)
            .field("queue_bound", queue_bound)
            .field("instance", instance);
        #[cfg(feature = "tls-rustls")]
        shown.field("tls", tls);
        #[cfg(feature = "sentinel")]
        shown.field("sentinel_credentials", &sentinel_credentials.is_some());
        shown.finish()
    }
}
