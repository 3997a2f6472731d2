//! Waits until replicas have what was written.
//!
//! Replication is one stream: a replica that has acknowledged a later write has every earlier one,
//! whichever connection they came on. So nothing that is written need go on the connection that
//! waits, as long as that leads to the server that wrote. A later write, of no use to anybody, goes out
//! there, and one of them serves all who wait for that server's replicas.
//!
//! Of one server that is a message that nobody listens to. In a Cluster no message is part of the
//! stream, not one to a shard either: there it is a key that is gone at once, in any of the node's slots.
//!
//! Who wrote is what [`Trace`] says, wherever a command was sent on to: several nodes, for what is in
//! several slots.
//!
//! Floor 3.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, cmd, from_redis_value};
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::beside::Beside;
use super::error::{RedisError, RedisErrorKind};
use super::handle::RedisHandle;
use super::origin::MUTE;
use super::trace::{Answered, Trace};
#[cfg(feature = "cluster")]
use super::way::Way;
use crate::config::ConfigError;

/// Leaves nothing behind, and is part of the stream all the same. What takes no memory first: behind it
/// Redis lets a script write though it has none left, as what was deleted is waited for too.
#[cfg(feature = "cluster")]
const WRITE: &str =
    "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], '') redis.call('DEL', KEYS[1])";

/// How many replicas are waited for, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Replicas {
    handle: RedisHandle,
    least: u8,
    within: Duration,
}

/// Of all who wait for as many replicas of one server, and as long.
#[derive(Debug, Default)]
struct Rounds {
    /// How many have begun.
    begun: AtomicU64,
    last: Arc<tokio::sync::Mutex<Round>>,
}

/// Of one server: one for each number and time that somebody waits for.
#[derive(Debug, Default)]
struct All(Mutex<HashMap<(u8, Duration), Arc<Rounds>>>);

/// The last round that came to its end.
#[derive(Debug, Default)]
struct Round {
    number: u64,
    outcome: Option<Result<Heard, RedisError>>,
}

/// How many replicas had acknowledged all that the server of this run had written.
#[derive(Debug, Clone)]
struct Heard {
    run: Arc<str>,
    replicas: u64,
}

impl Replicas {
    /// # Errors
    /// A setting out of range.
    pub(crate) fn new(
        handle: &RedisHandle,
        least: u8,
        within: Duration,
    ) -> Result<Self, ConfigError> {
        if least == 0 {
            return Err(ConfigError::new("replicas", least, "1 replica or more"));
        }
        let most = handle.command_timeout();
        if !(Duration::from_millis(1)..=most).contains(&within) {
            return Err(ConfigError::new(
                "within",
                format!("{within:?}"),
                format!("1 ms to the command time-out, {most:?}"),
            ));
        }
        Ok(Self {
            handle: handle.clone(),
            least,
            within,
        })
    }

    /// A handle through which to write what [`have`](Self::have) is to wait for.
    pub(crate) fn writer(&self) -> RedisHandle {
        self.handle.traced()
    }

    /// Resolves when enough replicas have all that was answered through this [writer](Self::writer): of
    /// each server that answered, enough of its own. Begins no round where one that began since answers
    /// for it.
    ///
    /// # Errors
    /// Always [`RedisErrorKind::Unknown`]: it was written, and may be lost with its master.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back: the rounds go on, for those who come after it.
    pub(crate) async fn have(&self, writer: &RedisHandle) -> Result<(), RedisError> {
        // The round that is under way, and the one after it.
        let most = 2 * self.within + self.handle.command_timeout();
        let had = timeout(most, self.all_have(writer.answered())).await;
        had.unwrap_or_else(|_| Err(unknown("the connection that waits for replicas is silent")))
    }

    async fn all_have(&self, mut written: Vec<Answered>) -> Result<(), RedisError> {
        let Some(last) = written.pop() else {
            return Err(unknown("nobody has answered"));
        };
        // At the same time: nobody waits longer for several. Dropped with this future.
        let mut others = JoinSet::new();
        for one in written {
            let this = self.clone();
            let had = async move { this.have_in_turn(one).await };
            others.spawn_on(had, self.handle.runtime());
        }
        let mut outcome = self.have_in_turn(last).await;
        while let Some(other) = others.join_next().await {
            outcome = outcome.and(other.unwrap_or_else(|_| Err(ended())));
        }
        outcome
    }

    async fn have_in_turn(&self, written: Answered) -> Result<(), RedisError> {
        let Some(run) = written.by.run.clone() else {
            return Err(mute());
        };
        let rounds = self.rounds(&written);
        let begun = rounds.begun.load(Ordering::SeqCst);
        let mut last = Arc::clone(&rounds.last).lock_owned().await;
        if last.number <= begun {
            let round = self.clone().next_round(rounds, written, last);
            // In a task: a WAIT that nobody listened to would hold up the next one all the same.
            let round = self.handle.runtime().spawn(round).await;
            last = round.map_err(|_| ended())?;
        }
        match &last.outcome {
            Some(Ok(heard)) if heard.run != run => {
                Err(unknown("the connection to Redis was replaced meanwhile"))
            }
            Some(Ok(heard)) if heard.replicas >= u64::from(self.least) => Ok(()),
            Some(Ok(heard)) => Err(self.too_few(heard.replicas)),
            Some(Err(error)) => Err(unknown(&error.to_string())),
            None => Err(unknown("nobody was asked")),
        }
    }

    fn rounds(&self, written: &Answered) -> Arc<Rounds> {
        let all = written.origin.slots.get::<All>();
        let mut all = all.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((self.least, self.within)).or_default().clone()
    }

    async fn next_round(
        self,
        rounds: Arc<Rounds>,
        written: Answered,
        mut last: OwnedMutexGuard<Round>,
    ) -> OwnedMutexGuard<Round> {
        last.number = rounds.begun.fetch_add(1, Ordering::SeqCst) + 1;
        last.outcome = Some(self.round(&written).await);
        last
    }

    async fn round(&self, written: &Answered) -> Result<Heard, RedisError> {
        let beside = self.handle.beside(&written.origin);
        let mut refused = surprise();
        // A slot of the node may just be on its way to another one: it is not the only one.
        for _ in 0..2 {
            let message = self.message(written).ok_or_else(nowhere)?;
            let trace = Arc::new(Trace::default());
            // Queued in this order, they leave in it.
            let said = beside.ask(message.clone(), &trace)?;
            let waited = beside.ask(self.wait(), &trace)?;
            let (said, waited) = (said.reply().await, waited.reply().await);
            if let Err(error) = said {
                refused = error;
                // Another key may be served.
                if matches!(refused.code(), Some("MOVED" | "ASK" | "TRYAGAIN")) {
                    continue;
                }
                if refused.kind() == RedisErrorKind::Refused {
                    beside.refused(message);
                }
                break;
            }
            if waited.as_ref().is_err_and(|it| it.code() == Some("ERR")) {
                // It is a replica, and nothing else would ever tell this connection.
                beside
                    .shared()
                    .inspect(|it| beside.replace(it.origin.number()));
            }
            if waited
                .as_ref()
                .is_err_and(|it| it.kind() == RedisErrorKind::Refused)
            {
                let mut of_none = cmd("WAIT");
                of_none.arg(0).arg(0);
                beside.refused(of_none);
            }
            let replicas = from_redis_value(waited?).map_err(|_| surprise())?;
            // On two connections the second command would have waited for nothing.
            let [there] = &trace.take()[..] else {
                return Err(surprise());
            };
            let here = written.origin.now().ok_or_else(surprise)?;
            if here.run != there.by.run {
                // After a fail-over one may still lead to the old master: the one that was made first.
                if here.number < there.by.number {
                    self.handle.way().replace(&written.origin, here.number);
                } else {
                    beside.replace(there.by.number);
                }
                let other = "the connection that waits for replicas leads to another server";
                return Err(RedisError::away(other));
            }
            let run = there.by.run.clone().ok_or_else(mute)?;
            self.tell(&beside, replicas);
            return Ok(Heard { run, replicas });
        }
        Err(refused)
    }

    /// Has operators told, once a change: that too few acknowledge is no error of Redis's.
    fn tell(&self, beside: &Beside, replicas: u64) {
        // Not by the name of `WAIT`, which is answered all the same.
        let what = cmd(&format!("REPLICAS {}", self.least));
        let Some(shared) = beside.shared() else {
            return;
        };
        if replicas >= u64::from(self.least) {
            shared.refusals.answered(&what, None);
        } else {
            let error = self.too_few(replicas);
            shared.refusals.refused(&what, None, &error);
        }
    }

    fn too_few(&self, replicas: u64) -> RedisError {
        let (least, within) = (self.least, self.within);
        unknown(&format!(
            "{replicas} of {least} replicas acknowledged within {within:?}"
        ))
    }

    fn wait(&self) -> Cmd {
        let mut wait = cmd("WAIT");
        wait.arg(self.least).arg(self.within.as_millis() as u64);
        wait
    }

    /// A later write; none into a node of a Cluster that has no slot of its own, or none yet.
    fn message(&self, written: &Answered) -> Option<Cmd> {
        #[cfg(feature = "cluster")]
        if let Way::Many(nodes) = self.handle.way() {
            let tag = nodes.tag_at(&written.origin)?;
            let mut write = cmd("EVAL");
            write.arg(WRITE).arg(1);
            write.arg(self.handle.keyspace().key("w1", &tag, ""));
            return Some(write);
        }
        let _ = written;
        let mut publish = cmd("PUBLISH");
        publish.arg(self.handle.way().mailbox().silent_channel());
        publish.arg("");
        Some(publish)
    }
}

fn mute() -> RedisError {
    unknown(MUTE)
}

fn nowhere() -> RedisError {
    RedisError::away("the node has no slot of its own that could be written to")
}

fn ended() -> RedisError {
    unknown("the runtime of the Redis handle has ended")
}

fn surprise() -> RedisError {
    RedisError::away("the connection that waits for replicas was not answered as it should")
}

fn unknown(why: &str) -> RedisError {
    let text = format!("written, but it may be lost with its master: {why}");
    RedisError::new(RedisErrorKind::Unknown, text)
}
