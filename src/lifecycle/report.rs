//! What a shutdown did, said once at its end.
//!
//! Floor 1.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::lifecycle::unfinished::{Unfinished, millis};

/// Whether everything came to its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was cut off, but for what [`finish_within`](crate::lifecycle::Lifecycle::finish_within)
    /// ended.
    Clean,
    /// Time ran out and requests, tasks, hooks or the server were cut off.
    Forced,
}

/// How a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookOutcome {
    /// It did what it had to.
    Done,
    /// It returned an error, or panicked.
    Failed,
    /// It was cut off.
    TimedOut,
}

/// One hook, or the flush of one managed part, and how it went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookReport {
    /// As it was registered.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: HookOutcome,
    /// How long it took.
    pub took: Duration,
}

/// How the server's future ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerOutcome {
    /// By itself.
    Done,
    /// It did not end, not even when the time was over and its connections were cut off, so it
    /// was dropped.
    Cut,
    /// With an error.
    Failed(String),
}

/// What the shutdown did.
///
/// Serialises to one JSON object:
///
/// ```json
/// {"outcome":"clean","in_flight_at_signal":2,"completed":2,"rejected":0,"overran":0,"upgraded":1,
///  "tasks":0,"aborted":[],"unfinished_heads":[],
///  "hooks":[{"name":"redis","outcome":"done","ms":3}],"ms":412,
///  "phases":{"settling":200,"draining":180,"stopping":32},"server":"done","error":null}
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Whether something was cut off.
    pub outcome: Outcome,
    /// Requests in flight when the shutdown was asked for, streams included.
    pub in_flight_at_signal: u64,
    /// Requests that ended by themselves from the signal on: whole, failed or given up by
    /// their client, but neither rejected, nor ended by their route's time, nor cut off.
    pub completed: u64,
    /// Requests that the drain gate turned away.
    pub rejected: u64,
    /// Requests that were ended because their route's share of the drain was over
    /// ([`finish_within`](crate::lifecycle::Lifecycle::finish_within)). They are not among the
    /// `aborted`, and make nothing forced.
    pub overran: u64,
    /// Sockets that had been upgraded (WebSockets) and were open when the shutdown was asked for.
    /// Their requests ended with the head of their 101 answer.
    pub upgraded: u64,
    /// Background tasks that ran when the shutdown was asked for.
    pub tasks: u64,
    /// What was cut off: tasks, requests, connections, in this order and the oldest first. A
    /// thousand at most; how many more there were is logged.
    pub aborted: Vec<Unfinished>,
    /// Connections with a request whose head, or with a handshake of TLS that, had begun and had not come
    /// whole when the server was told to stop, oldest first. No handler has heard of it, so nothing was
    /// cut off: it makes nothing forced. A thousand at most.
    pub unfinished_heads: Vec<Unfinished>,
    /// The managed parts' flushes, then the hooks, in the order in which they ran.
    pub hooks: Vec<HookReport>,
    /// How the server's future ended.
    pub server: ServerOutcome,
    /// The start-up gate that failed, with its error.
    pub start_error: Option<String>,
    /// Time spent with everything still served.
    pub settling: Duration,
    /// Time spent waiting for what was in flight, the forced end included.
    pub draining: Duration,
    /// Time spent on flushes and hooks.
    pub stopping: Duration,
    /// From the signal to the end.
    pub took: Duration,
}

impl Report {
    /// 0 when nothing was cut off and nothing but hooks failed, else 1.
    ///
    /// A hook that failed by itself is named and leaves 0: the instance did all it could. A
    /// server or start-up gate that failed makes it 1.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        u8::from(self.outcome == Outcome::Forced || self.error().is_some())
    }

    /// [`exit_status`](Self::exit_status) for `main` to return.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_status())
    }

    /// Why the instance ended, where it was a failure: a start-up gate or the server.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match &self.server {
            ServerOutcome::Failed(error) => Some(error),
            _ => self.start_error.as_deref(),
        }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Report", 14)?;
        let outcome = match self.outcome {
            Outcome::Clean => "clean",
            Outcome::Forced => "forced",
        };
        let server = match &self.server {
            ServerOutcome::Done => "done",
            ServerOutcome::Cut => "cut",
            ServerOutcome::Failed(_) => "failed",
        };
        out.serialize_field("outcome", outcome)?;
        out.serialize_field("in_flight_at_signal", &self.in_flight_at_signal)?;
        out.serialize_field("completed", &self.completed)?;
        out.serialize_field("rejected", &self.rejected)?;
        out.serialize_field("overran", &self.overran)?;
        out.serialize_field("upgraded", &self.upgraded)?;
        out.serialize_field("tasks", &self.tasks)?;
        out.serialize_field("aborted", &self.aborted)?;
        out.serialize_field("unfinished_heads", &self.unfinished_heads)?;
        out.serialize_field("hooks", &self.hooks)?;
        out.serialize_field("ms", &millis(self.took))?;
        out.serialize_field("phases", &Phases(self))?;
        out.serialize_field("server", server)?;
        out.serialize_field("error", &self.error())?;
        out.end()
    }
}

struct Phases<'a>(&'a Report);

impl Serialize for Phases<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Phases", 3)?;
        out.serialize_field("settling", &millis(self.0.settling))?;
        out.serialize_field("draining", &millis(self.0.draining))?;
        out.serialize_field("stopping", &millis(self.0.stopping))?;
        out.end()
    }
}

impl Serialize for HookReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let outcome = match self.outcome {
            HookOutcome::Done => "done",
            HookOutcome::Failed => "failed",
            HookOutcome::TimedOut => "timed_out",
        };
        let mut out = serializer.serialize_struct("HookReport", 3)?;
        out.serialize_field("name", &*self.name)?;
        out.serialize_field("outcome", outcome)?;
        out.serialize_field("ms", &millis(self.took))?;
        out.end()
    }
}
