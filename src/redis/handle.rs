//! What the rest of the process holds of the connection.
//!
//! Floor 3.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;

use super::error::RedisError;
use super::keyspace::Keyspace;
use super::script::Script;
use super::shared::Settings;
use super::slots::Slots;
use super::status::RedisStatus;
use super::trace::{Answered, Trace};
use super::way::Way;
use crate::telemetry::names::RedisCommands;
use crate::telemetry::record::count;

/// One process's connection to Redis, supervised, cheap to clone, shared by sessions and locks.
///
/// See the [module](crate::redis) for what the supervision promises. Dropping the last clone
/// sends what is still queued, no longer than the command time-out, and ends the supervisor.
#[derive(Clone)]
pub struct RedisHandle(Arc<Inner>, Option<Arc<Trace>>);

struct Inner {
    way: Way,
    keyspace: Keyspace,
    settings: Settings,
    runtime: Handle,
    slots: Slots,
    closed: AtomicBool,
}

impl RedisHandle {
    pub(crate) fn new(way: Way, keyspace: Keyspace, settings: Settings, runtime: Handle) -> Self {
        let inner = Inner {
            way,
            keyspace,
            settings,
            runtime,
            slots: Slots::default(),
            closed: AtomicBool::new(false),
        };
        Self(Arc::new(inner), None)
    }

    /// Whether Redis can be reached, as far as this process knows. Asks nobody.
    #[must_use]
    pub fn status(&self) -> RedisStatus {
        self.0.way.status()
    }

    /// What somebody should look at though Redis is up, in words: that it refused what it was last asked
    /// of this kind (out of memory, too few replicas, snapshots that fail, a right that is missing), or
    /// that the second connection, on which writes wait for replicas, is away. Asks nobody, and is logged
    /// where it changes. Of several refusals it is that for the server's state, or else the oldest.
    ///
    /// Over when what was refused is carried out again (of all that was refused for one state of the server,
    /// any), or when something is answered and nothing was refused for a minute.
    ///
    /// ```
    /// use tower_handoff::redis::RedisHandle;
    ///
    /// fn line(redis: &RedisHandle) -> String {
    ///     let up = if redis.status().is_up() { "up" } else { "away" };
    ///     let warning = redis.warning().unwrap_or_default();
    ///     format!("redis: {up} {warning}")
    /// }
    /// ```
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.0.way.warning()
    }

    /// Asks Redis for a sign of life: in a Cluster, every master. One round trip.
    ///
    /// # Errors
    /// As for every command: [`Away`](crate::redis::RedisErrorKind::Away) at once while Redis is away,
    /// [`Unknown`](crate::redis::RedisErrorKind::Unknown) where no answer comes within the command time-out.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back and harms nobody.
    pub async fn ping(&self) -> Result<(), RedisError> {
        #[cfg(feature = "cluster")]
        if let Way::Many(nodes) = &self.0.way {
            return nodes.ping().await;
        }
        self.send(redis::cmd("PING")).await.map(drop)
    }

    /// Sends what is queued, waits for its replies, no longer than the command time-out, and
    /// closes the connection; at the same time that on which writes wait for replicas. For every
    /// clone: commands fail with [`Away`](crate::redis::RedisErrorKind::Away) from then on. A Redis that is
    /// slow and alive has no longer: what it has not answered by then it may carry out all the same.
    ///
    /// To be called last: sessions and locks that still have something to save or to release
    /// come before it. Calling it again is harmless.
    ///
    /// # Cancel safety
    /// Once polled, the closing goes on without the future.
    pub async fn close(&self) {
        let one = self.command_timeout();
        // A safety net for a supervisor whose runtime is blocked.
        let bound = 2 * one + Duration::from_secs(1);
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.way.close();
        let besides = self.0.way.besides();
        besides.iter().for_each(|beside| beside.close());
        let beside = async {
            for beside in &besides {
                beside.closed().await;
            }
        };
        // The commands of those may take longer than others'.
        let _ = tokio::join!(timeout(bound, self.0.way.closed()), timeout(one, beside));
    }
}

/// For the rest of the crate.
impl RedisHandle {
    /// The names of keys.
    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.0.keyspace
    }

    /// Milliseconds of Redis's clock since the Unix epoch; this machine's until Redis was
    /// reached once. Asks nobody.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.way.now_ms()
    }

    /// As [`now_ms`](Self::now_ms), where the keys of this hash tag are.
    pub(crate) fn now_ms_at<T: AsRef<str>>(&self, tag: impl FnOnce() -> T) -> u64 {
        let at = self.0.way.at(tag);
        at.map_or_else(|| self.now_ms(), |link| link.shared.clock.now_ms())
    }

    /// A reply that has just come in, from where the keys of this hash tag are, carried Redis's time.
    pub(crate) fn observe_time<T: AsRef<str>>(&self, tag: impl FnOnce() -> T, redis_ms: u64) {
        if let Some(link) = self.0.way.at(tag) {
            link.shared.clock.observe(redis_ms);
        }
    }

    /// A script that ran where the keys of this hash tag are did nothing, and is given up: counted, and said
    /// once, as what Redis refuses itself.
    pub(crate) fn tell_refused<T: AsRef<str>>(
        &self,
        tag: impl FnOnce() -> T,
        script: &Script,
        error: &RedisError,
    ) {
        count(RedisCommands::Away);
        if let Some(link) = self.0.way.at(tag) {
            let command = redis::cmd("EVALSHA");
            let refusals = &link.shared.refusals;
            refusals.refused(&command, Some(script.text()), error);
        }
    }

    /// Grows with every connection, also the first: what was sent before may be lost, and
    /// messages meanwhile are.
    pub(crate) fn epochs(&self) -> watch::Receiver<u64> {
        self.0.way.epochs().subscribe()
    }

    /// Whether there are several nodes, so that scripts see the keys of one slot only, and a message
    /// can be heard that its sender believes nobody heard.
    pub(crate) fn is_cluster(&self) -> bool {
        match &self.0.way {
            Way::One(_) => false,
            #[cfg(feature = "cluster")]
            Way::Many(_) => true,
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        self.0.settings.command_timeout
    }

    /// The value of this type that all clones of this handle share; made when first asked for.
    ///
    /// It must not hold a handle itself, or neither is ever dropped.
    pub(crate) fn slot<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.0.slots.get()
    }

    /// The runtime that the connection was begun on, and lasts as long as.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// The same handle, and from now on it is noted who carries out what is asked through it.
    pub(crate) fn traced(&self) -> Self {
        Self(Arc::clone(&self.0), Some(Arc::default()))
    }

    /// Where that is noted.
    pub(crate) fn trace(&self) -> Option<&Arc<Trace>> {
        self.1.as_ref()
    }

    /// Who carried out what was asked through this handle and its clones, since this was last called.
    pub(crate) fn answered(&self) -> Vec<Answered> {
        self.1.as_ref().map_or_else(Vec::new, |trace| trace.take())
    }

    pub(crate) fn way(&self) -> &Way {
        &self.0.way
    }
}

impl fmt::Debug for RedisHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            way,
            keyspace,
            settings,
            runtime: _,
            slots: _,
            closed: _,
        } = &*self.0;
        f.debug_struct("RedisHandle")
            .field(
                "address",
                &way.address().unwrap_or_else(|| settings.address()),
            )
            .field("prefix", &keyspace.prefix())
            .field("status", &self.status())
            .finish()
    }
}
