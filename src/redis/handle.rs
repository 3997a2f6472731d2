//! What the rest of the process holds of the connection.
//!
//! Floor 3.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::error::{RedisError, RedisErrorKind};
use super::keyspace::Keyspace;
use super::queue::{Caller, Item, Queued, Reply};
use super::script::Script;
use super::shared::{PIPELINE, Settings, Shared};
use super::slots::Slots;
use super::status::{RedisStatus, closed};
use crate::telemetry::names::RedisCommands;
use crate::telemetry::record::count;

/// One process's connection to Redis, supervised, cheap to clone, shared by sessions and locks.
///
/// See the [module](crate::redis) for what the supervision promises. Dropping the last clone
/// sends what is still queued, no longer than the command time-out, and ends the supervisor.
#[derive(Clone)]
pub struct RedisHandle(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<Item>,
    shared: Arc<Shared>,
    keyspace: Keyspace,
    settings: Settings,
    runtime: Handle,
    slots: Slots,
    beside: OnceLock<RedisHandle>,
}

impl RedisHandle {
    pub(crate) fn new(
        queue: mpsc::Sender<Item>,
        shared: Arc<Shared>,
        keyspace: Keyspace,
        settings: Settings,
        runtime: Handle,
    ) -> Self {
        Self(Arc::new(Inner {
            queue,
            shared,
            keyspace,
            settings,
            runtime,
            slots: Slots::default(),
            beside: OnceLock::new(),
        }))
    }

    /// Whether Redis can be reached, as far as this process knows. Asks nobody.
    #[must_use]
    pub fn status(&self) -> RedisStatus {
        self.0.shared.breaker.status()
    }

    /// Asks Redis for a sign of life. One round trip.
    ///
    /// # Errors
    /// As for every command: [`Away`](RedisErrorKind::Away) at once while Redis is away,
    /// [`Unknown`](RedisErrorKind::Unknown) where no answer comes within the command time-out.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back and harms nobody.
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.send(redis::cmd("PING")).await.map(drop)
    }

    /// Sends what is queued, waits for its replies, no longer than the command time-out, and
    /// closes the connection; at the same time that on which writes wait for replicas. For every
    /// clone: commands fail with [`Away`](RedisErrorKind::Away) from then on.
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
        let beside = async {
            if let Some(beside) = self.0.beside.get() {
                // Its commands may take longer than those of this connection.
                let _ = timeout(one, beside.end()).await;
            }
        };
        let _ = tokio::join!(timeout(bound, self.end()), beside);
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
        self.0.shared.clock.now_ms()
    }

    /// A reply that has just come in carried Redis's time.
    pub(crate) fn observe_time(&self, redis_ms: u64) {
        self.0.shared.clock.observe(redis_ms);
    }

    /// Grows with every connection, also the first: what was sent before may be lost, and
    /// messages meanwhile are.
    pub(crate) fn epochs(&self) -> watch::Receiver<u64> {
        self.0.shared.epochs.subscribe()
    }

    /// Which connection it is: 0 before the first.
    pub(crate) fn epoch(&self) -> u64 {
        *self.0.shared.epochs.borrow()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn command_timeout(&self) -> Duration {
        self.0.settings.command_timeout
    }

    /// Where the second connection is kept, if one was ever wanted.
    pub(crate) fn beside_cell(&self) -> &OnceLock<RedisHandle> {
        &self.0.beside
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

    /// Has the connection of this epoch, if it still is the one of the moment, give way to another.
    pub(crate) fn replace(&self, epoch: u64) {
        // An error means that it has ended.
        let _ = self.enqueue(Item::Replace(epoch));
    }

    async fn end(&self) {
        // An error means that it is closing already.
        let _ = self.0.queue.send(Item::Close).await;
        self.0.shared.breaker.closed().await;
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Sends one command and waits for its reply, no longer than the command time-out.
    ///
    /// Once polled, the command goes out even if the future is dropped. Commands of one task
    /// are carried out in the order in which they were first polled.
    ///
    /// Not for commands that block or change the connection (`BLPOP`, `WAIT`, `MULTI`,
    /// `SUBSCRIBE`): all share one.
    pub(crate) async fn send(&self, command: Cmd) -> Result<Value, RedisError> {
        self.ask(command, None).await
    }

    /// Runs a script: EVALSHA, and one EVAL where Redis does not know it. As [`send`](Self::send).
    pub(crate) async fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Value, RedisError> {
        self.run_built(script, script.by_digest(keys, args)).await
    }

    /// As [`run`](Self::run), where the command is put together already.
    pub(crate) async fn run_built(
        &self,
        script: &Script,
        command: Cmd,
    ) -> Result<Value, RedisError> {
        self.ask(command, Some(script.text())).await
    }

    /// Wants the inbox's subscription, on this connection and all later ones.
    pub(crate) fn subscribe(&self) -> Result<(), RedisError> {
        self.enqueue(Item::Subscribe)
    }

    async fn ask(&self, command: Cmd, script: Option<&'static str>) -> Result<Value, RedisError> {
        let (reply, answer) = oneshot::channel();
        self.enqueue(item(command, script, reply))
            .inspect_err(|_| count(RedisCommands::Away))?;
        // The supervisor watches the time for all. It answers everybody, unless its runtime was
        // shut down under it.
        answer.await.unwrap_or_else(|_| {
            Err(RedisError::unknown(
                "the runtime of the Redis handle has ended: the command may have been carried out",
                None,
            ))
        })
    }

    fn enqueue(&self, item: Item) -> Result<(), RedisError> {
        self.0.shared.breaker.admit()?;
        self.0.queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RedisError::new(
                RedisErrorKind::Away,
                "too many commands are queued for Redis: the command was not sent",
            ),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        let queue = &self.0.queue;
        let queued = queue.max_capacity() - queue.capacity();
        if queued > 0 && queued.is_multiple_of(PIPELINE) {
            self.0.shared.full.notify_one();
        }
        Ok(())
    }
}

fn item(command: Cmd, script: Option<&'static str>, reply: oneshot::Sender<Reply>) -> Item {
    // It would get no reply, and every later command the reply of the one before it.
    debug_assert!(command.args_iter().len() > 0, "an empty command");
    Item::Command(Queued {
        command,
        caller: Caller {
            reply,
            script,
            since: Instant::now(),
        },
    })
}

impl fmt::Debug for RedisHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            queue: _,
            shared: _,
            keyspace,
            settings,
            runtime: _,
            slots: _,
            beside: _,
        } = &*self.0;
        f.debug_struct("RedisHandle")
            .field("address", &settings.address())
            .field("prefix", &keyspace.prefix())
            .field("status", &self.status())
            .finish()
    }
}
