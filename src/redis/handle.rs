//! PROVISIONAL: the final supervisor replaces the inside; the signatures stay.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;

use super::{Keyspace, RedisError, RedisErrorKind, Script};
use crate::ConfigError;

/// One process's connection to Redis, cheap to clone.
#[derive(Clone)]
pub struct RedisHandle(Arc<Inner>);

struct Inner {
    client: redis::Client,
    connection: OnceCell<MultiplexedConnection>,
    keyspace: Keyspace,
}

impl std::fmt::Debug for RedisHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisHandle").finish_non_exhaustive()
    }
}

impl RedisHandle {
    /// Never blocks.
    pub fn connect(url: &str) -> Result<Self, ConfigError> {
        Self::connect_with_prefix(url, "app")
    }

    #[doc(hidden)]
    pub fn connect_with_prefix(url: &str, prefix: &str) -> Result<Self, ConfigError> {
        let client =
            redis::Client::open(url).map_err(|e| ConfigError::new("url", e, "redis://"))?;
        Ok(Self(Arc::new(Inner {
            client,
            connection: OnceCell::new(),
            keyspace: Keyspace::new(prefix),
        })))
    }

    /// The names of keys.
    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.0.keyspace
    }

    /// Sends one command and waits for its reply, no longer than the command time-out.
    ///
    /// Once polled, the command goes out even if the future is dropped.
    pub(crate) async fn send(&self, command: redis::Cmd) -> Result<redis::Value, RedisError> {
        let mut connection = self
            .0
            .connection
            .get_or_try_init(|| self.0.client.get_multiplexed_async_connection())
            .await
            .map_err(|e| RedisError::new(RedisErrorKind::Away, e.to_string()))?
            .clone();
        command.query_async(&mut connection).await.map_err(|e| {
            let kind = if e.is_io_error() {
                RedisErrorKind::Unknown
            } else {
                RedisErrorKind::Refused
            };
            RedisError::new(kind, e.to_string())
        })
    }

    /// Runs a script: EVALSHA, and one EVAL where Redis does not know it.
    pub(crate) async fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<redis::Value, RedisError> {
        let command = |name: &str, body: &str| {
            let mut command = redis::cmd(name);
            command.arg(body).arg(keys.len());
            for part in keys.iter().chain(args) {
                command.arg(*part);
            }
            command
        };
        match self.send(command("EVALSHA", script.digest())).await {
            Err(e) if e.to_string().contains("NOSCRIPT") || e.to_string().contains("NoScript") => {
                self.send(command("EVAL", script.text())).await
            }
            other => other,
        }
    }

    /// Milliseconds of Redis's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| d.as_millis() as u64)
    }
}
