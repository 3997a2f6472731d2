//! Every metric: its name, unit and help, and all values that its label can have.
//!
//! Floor 0.

#[cfg(feature = "metrics")]
use std::sync::OnceLock;

#[cfg(feature = "metrics")]
use metrics::{Key, Unit};

#[cfg(feature = "metrics")]
use crate::telemetry::described::{Described, Kind, Metric};
use crate::telemetry::shape::metrics;

metrics! {
    // The instance's life.
    InstanceStarts = Counter "tower_handoff_instance_starts_total" in Count,
        "Start-ups of this process, by how they ended":
        "outcome" in [Ready "ready", Failed "failed"];
    Phase = Gauge "tower_handoff_phase" in Count,
        "0 starting, 1 ready, 2 settling, 3 draining, 4 forcing, 5 stopping, 6 stopped":
        [Now];
    ShutdownSeconds = Gauge "tower_handoff_shutdown_seconds" in Seconds,
        "Time since the shutdown was asked for; 0 before":
        [Now];
    GraceSeconds = Gauge "tower_handoff_grace_seconds" in Seconds,
        "The grace period that a shutdown has to end in":
        [Whole];
    DrainSeconds = Gauge "tower_handoff_drain_seconds" in Seconds,
        "Time spent waiting for what was in flight; 0 before":
        [Now];
    Hooks = Counter "tower_handoff_hooks_total" in Count,
        "Flushes and hooks of the shutdown, by how they ended":
        "outcome" in [Done "done", Failed "failed", TimedOut "timed_out"];
    ShutdownOperations = Counter "tower_handoff_shutdown_operations_total" in Count,
        "Releases of locks and writes of sessions that a shutdown's flush waited for":
        "outcome" in [Flushed "flushed", Lost "lost"];

    // Requests and tasks.
    Requests = Counter "tower_handoff_requests_total" in Count,
        "Requests that ended, were turned away, overran their share of the drain, or were cut off":
        "outcome" in [Served "served", Rejected "rejected", Overran "overran", Aborted "aborted"];
    RequestsInFlight = Gauge "tower_handoff_requests_in_flight" in Count,
        "Requests that have not ended":
        [Now];
    OldestRequestSeconds = Gauge "tower_handoff_request_oldest_seconds" in Seconds,
        "Age of the oldest request in flight; 0 where there is none":
        [Now];
    SocketsUpgraded = Gauge "tower_handoff_sockets_upgraded" in Count,
        "Upgraded sockets (WebSockets) that are open":
        [Now];
    Tasks = Gauge "tower_handoff_tasks" in Count,
        "Background tasks that run":
        [Now];
    TasksAborted = Counter "tower_handoff_tasks_aborted_total" in Count,
        "Background tasks cut off when the drain's time was over":
        [All];

    // Sessions.
    Sessions = Counter "tower_handoff_sessions_total" in Count,
        "What befell sessions":
        "event" in [Created "created", Renewed "renewed", Rotated "rotated", Destroyed "destroyed"];
    SessionLoads = Counter "tower_handoff_session_loads_total" in Count,
        "Requests that looked for their session, by what they found":
        "outcome" in [Found "found", Absent "absent", Unavailable "unavailable",
            Unknown "unknown", Corrupt "corrupt"];
    SessionWrites = Counter "tower_handoff_session_writes_total" in Count,
        "Writes to sessions that exist, by what came of them":
        "outcome" in [Written "written", Conflict "conflict", Gone "gone", TooLarge "too_large",
            NotInteger "not_integer", Unavailable "unavailable", Unknown "unknown",
            Corrupt "corrupt"];
    SessionCommits = Counter "tower_handoff_session_commits_total" in Count,
        "Requests that left something to write at their answer, by what became of it":
        "outcome" in [Written "written", Gone "gone", Discarded "discarded",
            Unavailable "unavailable", Failed "failed"];

    // Locks, by the name of layer or handle.
    LockAcquires = Counter of each lock "tower_handoff_lock_acquires_total" in Count,
        "Claims on a key, by what came of them":
        "outcome" in [Acquired "acquired", Busy "busy", QueueFull "queue_full",
            Unavailable "unavailable", Draining "draining"];
    LockGrants = Counter of each lock "tower_handoff_lock_grants_total" in Count,
        "Claims that were granted, by how the key came":
        "path" in [Free "free", Local "local", Queued "queued"];
    LockWaits = Counter of each lock "tower_handoff_lock_waits_total" in Count,
        "Claims that had to stand in line":
        [All];
    LockWaitSeconds = Histogram of each lock "tower_handoff_lock_wait_seconds" in Seconds,
        "From the claim to the lock, round trip included":
        [Each];
    LockHoldSeconds = Histogram of each lock "tower_handoff_lock_hold_seconds" in Seconds,
        "From the lock to its release":
        [Each];
    LockReleases = Counter of each lock "tower_handoff_lock_releases_total" in Count,
        "Releases, by what came of the first try":
        "outcome" in [Freed "freed", HandedOver "handed_over", LostBefore "lost_before",
            Unknown "unknown"];
    LocksLost = Counter of each lock "tower_handoff_locks_lost_total" in Count,
        "Locks whose lease ended, or that were taken away, while their holder was at work":
        [All];
    LockUnguarded = Counter of each lock "tower_handoff_lock_unguarded_total" in Count,
        "Requests that passed without their lock, because a policy says so":
        "reason" in [Unavailable "unavailable", KeyMissing "key_missing"];
    OnceRuns = Counter "tower_handoff_once_runs_total" in Count,
        "Calls that wanted a job run, by what came of them":
        "outcome" in [Ran "ran", Fresh "fresh", Skipped "skipped", Failed "failed", Lost "lost",
            Unavailable "unavailable", Draining "draining", Unusable "unusable"];

    // Redis.
    RedisUp = Gauge "tower_handoff_redis_up" in Count,
        "1 while every open handle is connected to Redis, else 0":
        [Now];
    RedisConnects = Counter "tower_handoff_redis_connects_total" in Count,
        "Connections made":
        [All];
    RedisOutages = Counter "tower_handoff_redis_outages_total" in Count,
        "Times that Redis went away, or was away at the start":
        "cause" in [Unreachable "unreachable", Tls "tls", Login "login", NotReady "not_ready",
            ReadOnly "read_only", UnknownMaster "unknown_master", Unsupported "unsupported"];
    RedisCommands = Counter "tower_handoff_redis_commands_total" in Count,
        "Commands, by the kind of their answer":
        "outcome" in [Answered "answered", Refused "refused", Away "away", Unknown "unknown"];
    RedisBatchCommands = Histogram "tower_handoff_redis_batch_commands" in Count,
        "How many commands left in one write":
        [Each];
}

#[cfg(test)]
#[cfg(feature = "metrics")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The module's table, line by line as it has to be, but for what it says of each.
    #[test]
    fn the_table_in_the_docs_has_every_metric_its_kind_and_its_labels() {
        let docs = include_str!("mod.rs");
        let rows: BTreeSet<_> = docs
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `"))
            .map(|row| row.replace(" ¹", ""))
            .filter_map(|row| Some(row.rsplit_once(" | ")?.0.to_owned()))
            .collect();
        let expected: BTreeSet<_> = ALL
            .iter()
            .map(|(metric, _)| {
                let name = metric.name.strip_prefix("tower_handoff_").unwrap();
                let kind = format!("{:?}", metric.kind).to_lowercase();
                let values = metric.values.iter().map(|value| format!("`{value}`"));
                let values = values.collect::<Vec<_>>().join(", ");
                let own =
                    (!metric.label.is_empty()).then(|| format!("`{}`: {values}", metric.label));
                let lock = metric.of_each_lock.then(|| "`lock`".to_owned());
                let labels: Vec<_> = lock.into_iter().chain(own).collect();
                format!("{name}` | {kind} | {}", labels.join("; "))
            })
            .collect();
        let row = |row: &String| row.trim_end_matches([' ', '|']).to_owned();
        assert_eq!(
            rows.iter().map(row).collect::<BTreeSet<_>>(),
            expected.iter().map(row).collect::<BTreeSet<_>>()
        );
    }

    #[test]
    fn names_follow_the_collectors_rules() {
        for (metric, _) in ALL {
            let Described { kind, name, .. } = **metric;
            assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(
                metric.unit == Unit::Seconds,
                name.ends_with("_seconds"),
                "{name}"
            );
        }
    }
}
