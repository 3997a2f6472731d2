//! Whether Redis can be reached, and the breaker that answers for it while it cannot.
//!
//! Floor 3.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::watch;

use super::away::AwayCause;
use super::error::RedisError;
use super::failure::Failure;
use crate::telemetry::names::{RedisConnects, RedisOutages};
use crate::telemetry::record::{add, count};
use crate::telemetry::redis_up::UpMark;

/// Whether Redis can be reached, as far as this process knows.
///
/// ```
/// use tower_handoff::redis::RedisStatus;
///
/// fn word(status: &RedisStatus) -> &'static str {
///     if status.is_up() { "up" } else { "away" }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisStatus {
    /// Connected: commands are sent.
    Up,
    /// Not connected: commands fail at once, and a new connection is tried at least every
    /// 500 ms.
    #[non_exhaustive]
    Away {
        /// Whether waiting helps, or somebody has to change something.
        cause: AwayCause,
        /// What the last attempt met, for people; without passwords.
        reason: Arc<str>,
    },
}

impl RedisStatus {
    /// Whether commands are sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }

    pub(crate) fn away(Failure { cause, reason }: &Failure) -> Self {
        Self::Away {
            cause: *cause,
            reason: reason.as_str().into(),
        }
    }

    fn unreachable(reason: &str) -> Self {
        Self::away(&Failure::unreachable(reason))
    }

    fn cause(&self) -> Option<AwayCause> {
        match self {
            Self::Up => None,
            Self::Away { cause, .. } => Some(*cause),
        }
    }
}

const STARTING: u8 = 0;
const UP: u8 = 1;
const AWAY: u8 = 2;
const CLOSED: u8 = 3;

/// Decides whether a command may be queued; the supervisor alone changes it.
#[derive(Debug)]
pub(crate) struct Breaker {
    // One relaxed load a command. It guards no data: a command that slips past a change is
    // answered by the supervisor instead.
    state: AtomicU8,
    /// Of a further connection, for people: another one speaks for Redis.
    name: Option<&'static str>,
    /// Where it speaks for a whole Redis.
    mark: Option<UpMark>,
    status: watch::Sender<RedisStatus>,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self::starting(None, Some(UpMark::default()))
    }

    /// Of a node of a Cluster, which is up where all are.
    #[cfg(feature = "cluster")]
    pub(crate) fn of_node() -> Self {
        Self::starting(None, None)
    }

    /// Of a further connection: its changes are logged, and no metric has them.
    pub(crate) fn beside(name: &'static str) -> Self {
        Self::starting(Some(name), None)
    }

    fn starting(name: Option<&'static str>, mark: Option<UpMark>) -> Self {
        Self {
            state: AtomicU8::new(STARTING),
            name,
            mark,
            status: watch::Sender::new(RedisStatus::unreachable("not connected yet")),
        }
    }

    /// Lets a command through, or says that Redis is away.
    pub(crate) fn admit(&self) -> Result<(), RedisError> {
        match self.state.load(Ordering::Relaxed) {
            STARTING | UP => Ok(()),
            AWAY => Err(away()),
            _ => Err(closed()),
        }
    }

    pub(crate) fn status(&self) -> RedisStatus {
        self.status.borrow().clone()
    }

    /// What it is called, where it is a further connection.
    pub(crate) fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// That a further connection is away.
    pub(crate) fn warning(&self) -> Option<String> {
        let name = self.name.filter(|_| !self.is_starting())?;
        match self.status() {
            RedisStatus::Up => None,
            RedisStatus::Away { reason, .. } => Some(format!("{name} is away: {reason}")),
        }
    }

    /// The first attempt has not ended yet.
    pub(crate) fn is_starting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STARTING
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn is_up(&self) -> bool {
        self.state.load(Ordering::Relaxed) == UP
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CLOSED
    }

    pub(crate) fn up(&self) {
        if self.name.is_none() {
            count(RedisConnects::All);
        }
        self.change(UP, RedisStatus::Up);
    }

    /// Returns whether this is news, so that it is logged once: away, or away for another cause.
    pub(crate) fn away(&self, failure: &Failure) -> bool {
        let (state, status) = self.change(AWAY, RedisStatus::away(failure));
        if self.name.is_none() {
            add(outage(failure.cause), usize::from(state != AWAY));
        }
        state != AWAY || status.cause() != Some(failure.cause)
    }

    pub(crate) fn close(&self) {
        self.change(CLOSED, RedisStatus::unreachable("closed by this process"));
    }

    /// Resolves once [`close`](Self::close) was called.
    pub(crate) async fn closed(&self) {
        let mut changes = self.status.subscribe();
        while self.state.load(Ordering::Relaxed) != CLOSED {
            // The sender lives in `self`, so an error cannot come.
            let _ = changes.changed().await;
        }
    }

    fn change(&self, state: u8, status: RedisStatus) -> (u8, RedisStatus) {
        let before = self.state.swap(state, Ordering::Relaxed);
        if let Some(mark) = &self.mark {
            mark.tell((state != CLOSED).then_some(state == UP));
        }
        (before, self.status.send_replace(status))
    }
}

fn outage(cause: AwayCause) -> RedisOutages {
    match cause {
        AwayCause::Unreachable => RedisOutages::Unreachable,
        AwayCause::Tls => RedisOutages::Tls,
        AwayCause::Login => RedisOutages::Login,
        AwayCause::NotReady => RedisOutages::NotReady,
        AwayCause::ReadOnly => RedisOutages::ReadOnly,
        AwayCause::UnknownMaster => RedisOutages::UnknownMaster,
        AwayCause::Unsupported => RedisOutages::Unsupported,
    }
}

pub(crate) fn away() -> RedisError {
    RedisError::away("Redis is away: the command was not sent")
}

pub(crate) fn closed() -> RedisError {
    RedisError::away("the Redis handle was closed: the command was not sent")
}
