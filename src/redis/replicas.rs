//! Waits until replicas have what was written.
//!
//! Replication is one stream: a replica that has acknowledged a later write has every earlier one,
//! whichever connection they came on. So nothing that is written need go on the connection that
//! waits. A message that nobody listens to is the later write, and one of them serves all who
//! wait for it.
//!
//! Floor 3.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value, cmd, from_redis_value};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::error::{RedisError, RedisErrorKind};
use super::handle::RedisHandle;
use crate::config::ConfigError;

/// How many replicas are waited for, and how long.
#[derive(Debug, Clone)]
pub(crate) struct Replicas {
    handle: RedisHandle,
    least: u8,
    within: Duration,
    rounds: Arc<Rounds>,
}

/// Of all of one handle who wait for as many replicas, and as long.
#[derive(Debug, Default)]
struct Rounds {
    /// How many have begun.
    begun: AtomicU64,
    last: Arc<tokio::sync::Mutex<Round>>,
}

/// One for each number and time that somebody of the handle waits for.
#[derive(Debug, Default)]
struct All(Mutex<HashMap<(u8, Duration), Arc<Rounds>>>);

/// On which connection something is written: that of the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

/// The last round that came to its end.
#[derive(Debug, Default)]
struct Round {
    number: u64,
    outcome: Option<Result<Heard, RedisError>>,
    /// The two connections that were last found to lead to one server.
    same: Option<Epochs>,
}

/// How many replicas had acknowledged all that was written on the connection of this mark.
#[derive(Debug, Clone, Copy)]
struct Heard {
    mark: u64,
    replicas: u64,
}

type Epochs = (u64, u64);

impl Replicas {
    /// # Errors
    /// A setting out of range, or a Cluster.
    pub(crate) fn new(
        handle: &RedisHandle,
        least: u8,
        within: Duration,
    ) -> Result<Self, ConfigError> {
        if handle.is_cluster() {
            // Each master has replicas of its own, and would take a second connection of its own.
            return Err(ConfigError::new(
                "replicas",
                "set on a Cluster",
                "only with a single Redis or Sentinel",
            ));
        }
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
        let all = handle.slot::<All>();
        let mut all = all.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            handle: handle.clone(),
            least,
            within,
            rounds: all.entry((least, within)).or_default().clone(),
        })
    }

    /// To be taken before something is written.
    pub(crate) fn mark(&self) -> Mark {
        // What is sent before the first connection is there goes out on it.
        Mark(self.handle.epoch().max(1))
    }

    /// Resolves when enough replicas have all that was answered on the main connection since
    /// `mark`; begins no round where one that began since answers for it.
    ///
    /// # Errors
    /// Always [`RedisErrorKind::Unknown`]: it was written, and may be lost with its master.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing back: the round goes on, for those who come after it.
    pub(crate) async fn have(&self, mark: Mark) -> Result<(), RedisError> {
        // The round that is under way, and the one after it.
        let most = 2 * self.within + self.handle.command_timeout();
        let had = timeout(most, self.have_in_turn(mark)).await;
        had.unwrap_or_else(|_| Err(unknown("the connection that waits for replicas is silent")))
    }

    async fn have_in_turn(&self, mark: Mark) -> Result<(), RedisError> {
        let begun = self.rounds.begun.load(Ordering::SeqCst);
        let mut last = Arc::clone(&self.rounds.last).lock_owned().await;
        if last.number <= begun {
            let round = self.clone().next_round(last);
            // In a task: a WAIT that nobody listened to would hold up the next one all the same.
            let round = self.handle.runtime().spawn(round).await;
            last = round.map_err(|_| unknown("the runtime of the Redis handle has ended"))?;
        }
        match &last.outcome {
            Some(Ok(heard)) if heard.mark != mark.0 => {
                Err(unknown("the connection to Redis was replaced meanwhile"))
            }
            Some(Ok(heard)) if heard.replicas >= u64::from(self.least) => Ok(()),
            Some(Ok(heard)) => Err(self.too_few(*heard)),
            Some(Err(error)) => Err(unknown(&error.to_string())),
            None => Err(unknown("nobody was asked")),
        }
    }

    async fn next_round(self, mut last: OwnedMutexGuard<Round>) -> OwnedMutexGuard<Round> {
        last.number = self.rounds.begun.fetch_add(1, Ordering::SeqCst) + 1;
        last.outcome = Some(self.round(&mut last.same).await);
        last
    }

    async fn round(&self, same: &mut Option<Epochs>) -> Result<Heard, RedisError> {
        let beside = self.handle.beside();
        let epochs = self.one_server(same).await?;
        let mut wait = cmd("WAIT");
        wait.arg(self.least).arg(self.within.as_millis() as u64);
        // Polled in this order, they leave in it.
        let (said, waited) = tokio::join!(beside.send(self.message()), beside.send(wait));
        said?;
        if waited
            .as_ref()
            .is_err_and(|error| error.code() == Some("ERR"))
        {
            // It is a replica, and nothing else would ever tell this connection.
            beside.replace(epochs.1);
        }
        let replicas = from_redis_value(waited?).map_err(|_| surprise())?;
        // On two connections the second command would have waited for nothing.
        if self.epochs() != epochs {
            return Err(surprise());
        }
        let heard = Heard {
            mark: epochs.0,
            replicas,
        };
        self.tell(heard);
        Ok(heard)
    }

    /// Has operators told, once a change: that too few acknowledge is no error of Redis's.
    fn tell(&self, heard: Heard) {
        // Not by the name of `WAIT`, which is answered all the same.
        let what = cmd(&format!("REPLICAS {}", self.least));
        let link = self.handle.beside().way().at(|| "");
        match link.map(|link| link.shared.clone()) {
            Some(shared) if heard.replicas >= u64::from(self.least) => {
                shared.refusals.answered(&what, None);
            }
            Some(shared) => shared.refusals.refused(&what, None, &self.too_few(heard)),
            None => {}
        }
    }

    fn too_few(&self, heard: Heard) -> RedisError {
        let (replicas, least, within) = (heard.replicas, self.least, self.within);
        unknown(&format!(
            "{replicas} of {least} replicas acknowledged within {within:?}"
        ))
    }

    /// Makes sure that both connections lead to the same server: after a fail-over, one may still
    /// lead to the old master. Asked once for every pair of connections.
    async fn one_server(&self, same: &mut Option<Epochs>) -> Result<Epochs, RedisError> {
        // A connection that is just being made changes the epoch once.
        for _ in 0..3 {
            let epochs = self.epochs();
            if *same == Some(epochs) {
                return Ok(epochs);
            }
            let beside = self.handle.beside();
            let (here, there) = tokio::join!(self.handle.send(who()), beside.send(who()));
            let (here, there) = (run_id(here?)?, run_id(there?)?);
            if self.epochs() != epochs {
                continue;
            }
            if here != there {
                self.handle.beside().replace(epochs.1);
                break;
            }
            *same = Some(epochs);
            return Ok(epochs);
        }
        Err(RedisError::away(
            "the connection that waits for replicas leads to another server",
        ))
    }

    fn epochs(&self) -> Epochs {
        (self.handle.epoch(), self.handle.beside().epoch())
    }

    fn message(&self) -> Cmd {
        let mut publish = cmd("PUBLISH");
        publish.arg(self.handle.way().mailbox().silent_channel());
        publish.arg("");
        publish
    }
}

fn who() -> Cmd {
    let mut info = cmd("INFO");
    info.arg("server");
    info
}

/// What a server calls itself from its start to its end.
fn run_id(info: Value) -> Result<String, RedisError> {
    let info: String = from_redis_value(info).map_err(|_| surprise())?;
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    id.map(str::to_owned).ok_or_else(surprise)
}

fn surprise() -> RedisError {
    RedisError::away("the connection that waits for replicas was not answered as it should")
}

fn unknown(why: &str) -> RedisError {
    let text = format!("written, but it may be lost with its master: {why}");
    RedisError::new(RedisErrorKind::Unknown, text)
}
