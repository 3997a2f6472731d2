//! A builder's settings checked, and the connection begun.
//!
//! Floor 3.

use std::time::Duration;

use tokio::runtime::Handle;

use super::builder::RedisBuilder;
#[cfg(feature = "cluster")]
use super::cluster::{router::Router, url as cluster_url};
use super::dial::Target;
use super::handle::RedisHandle;
use super::keyspace::Keyspace;
use super::lookup::Lookups;
use super::shared::Settings;
use super::start::start;
#[cfg(not(feature = "cluster"))]
use super::url;
use super::url::Place;
use super::whereabouts::Whereabouts;
use crate::config::ConfigError;
use crate::instance::checked_id;

impl RedisBuilder {
    /// Starts the supervisor on the tokio runtime of the moment and returns at once.
    ///
    /// Commands sent before the first attempt to connect has ended wait for it, no longer than
    /// the command time-out.
    ///
    /// Commands may come from other runtimes, and are answered by this one: it has to be driven as long as
    /// they wait, or their time-outs do not end either. So not a current-thread runtime between two calls
    /// of its `block_on`. Where it ends, they fail.
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
            lookups: Lookups::default(),
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
