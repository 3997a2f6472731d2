//! Which server is to be dialled: the one of the URL, or the one that sentinels name.
//!
//! Floor 3.

use std::pin::Pin;
#[cfg(feature = "sentinel")]
use std::sync::Arc;
#[cfg(feature = "sentinel")]
use std::time::Duration;

#[cfg(feature = "sentinel")]
use redis::ConnectionAddr;

use super::dial::Target;
use super::failure::Failure;
#[cfg(feature = "sentinel")]
use super::sentinel::survey::{Credentials, Sentinels};
#[cfg(feature = "sentinel")]
use crate::config::ConfigError;

/// Where Redis is, or who knows.
#[derive(Debug, Clone)]
pub(crate) enum Whereabouts {
    Fixed(Target),
    /// How the master is spoken to, but for its address.
    #[cfg(feature = "sentinel")]
    Named(Target, Arc<Sentinels>),
}

/// Resolves when the server that was found is not the right one any longer, and says why.
pub(crate) type Moved = Pin<Box<dyn Future<Output = Failure> + Send>>;

impl Whereabouts {
    /// # Errors
    /// Credentials for sentinels where there are none.
    #[cfg(feature = "sentinel")]
    pub(crate) fn new(
        target: Target,
        sentinels: Option<(String, Vec<ConnectionAddr>)>,
        credentials: Option<&Credentials>,
        timeout: Duration,
    ) -> Result<Self, ConfigError> {
        match sentinels {
            Some((name, addresses)) => {
                let all = Sentinels::new(name, addresses, &target, credentials, timeout);
                Ok(Self::Named(target, Arc::new(all)))
            }
            None if credentials.is_some() => Err(ConfigError::new(
                "sentinel_credentials",
                "set for a URL without sentinels",
                "only with a redis-sentinel:// or rediss-sentinel:// URL",
            )),
            None => Ok(Self::Fixed(target)),
        }
    }

    /// How a server is spoken to.
    #[cfg(feature = "cluster")]
    pub(crate) fn target(&self) -> &Target {
        match self {
            Self::Fixed(target) => target,
            #[cfg(feature = "sentinel")]
            Self::Named(target, _) => target,
        }
    }

    /// For logs: without user and password.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Fixed(target) => target.address(),
            #[cfg(feature = "sentinel")]
            Self::Named(_, sentinels) => sentinels.address(),
        }
    }

    /// Closes what is kept for the next attempt: there will be none.
    pub(crate) fn forget(&self) {
        match self {
            Self::Fixed(_) => {}
            #[cfg(feature = "sentinel")]
            Self::Named(_, sentinels) => sentinels.forget(),
        }
    }

    /// The server of the moment; asked anew for every attempt.
    pub(crate) async fn find(self) -> Result<(Target, Option<Moved>), Failure> {
        match self {
            Self::Fixed(target) => Ok((target, None)),
            #[cfg(feature = "sentinel")]
            Self::Named(mut target, sentinels) => {
                let master = sentinels.find().await?;
                let address = ConnectionAddr::Tcp(master.host.clone(), master.port);
                target.info = target.info.set_addr(address);
                Ok((target, Some(Box::pin(sentinels.moved(master)))))
            }
        }
    }
}
