//! Metrics: what an instance says about itself in numbers, on the `metrics` facade.
//!
//! With feature `metrics`, off by default; without it they cost nothing. Whatever recorder the
//! application installs gets them, and each record costs one look-up in it. A request that uses
//! neither its session nor a lock records nothing: requests are counted anyhow, and read off.
//!
//! ```
//! use metrics_exporter_prometheus::PrometheusBuilder;
//! use tower_handoff::{Lifecycle, telemetry};
//!
//! let prometheus = PrometheusBuilder::new().install_recorder()?; // first of all
//! telemetry::describe();
//!
//! let lifecycle = Lifecycle::builder().build()?;
//! let handle = lifecycle.handle();
//! let scrape = move || {
//!     handle.record_metrics(); // what nobody counts twice
//!     prometheus.render()
//! };
//! assert!(scrape().contains("tower_handoff_requests_in_flight 0"));
//! # Ok::<(), tower_handoff::BoxError>(())
//! ```
//!
//! Serve that at `/metrics` where the probes are: outside of the layers, so that a scrape is in no
//! session, never counted and never turned away. A recorder that comes late misses what was
//! recorded before it, and no more.
//!
//! One [`Lifecycle`](crate::Lifecycle) a process is what the figures are for: two would write to the same
//! gauges. Several Redis add up, and `redis_up` says whether all are. They are the figures of one instance; which one, the collector
//! says, Prometheus in its own label `instance`.
//!
//! # Labels
//! A label's values are all in the table below: no key, user, session, path or error text ever
//! becomes one, so there are never more series than these. Only locks have a name of yours, given
//! by [`LockLayer::with_name`](crate::lock::LockLayer::with_name) and
//! [`Locks::with_name`](crate::lock::Locks::with_name): a literal, because a name made from a
//! request would be a series for every request. Without one they are `unnamed`; those of
//! [`Once`](crate::once::Once) are `once`.
//!
//! # Metrics
//! All names begin with `tower_handoff_`. Those marked ¹ are brought up to date by
//! [`record_metrics`](crate::lifecycle::LifecycleHandle::record_metrics), all others as things
//! happen. A histogram of seconds wants buckets from a round trip to the longest hold: 0.001, 0.005,
//! 0.02, 0.1, 0.5, 1, 5, 10, 30.
//!
//! | name | kind | label: values | what |
//! | --- | --- | --- | --- |
//! | `instance_starts_total` | counter | `outcome`: `ready`, `failed` | start-ups, by whether every start-up gate opened |
//! | `phase` ¹ | gauge | | 0 starting, 1 ready, 2 settling, 3 draining, 4 forcing, 5 stopping, 6 stopped |
//! | `shutdown_seconds` ¹ | gauge | | since the shutdown was asked for; 0 before |
//! | `grace_seconds` | gauge | | what a shutdown may take |
//! | `drain_seconds` ¹ | gauge | | of the shutdown, spent waiting for what was in flight |
//! | `hooks_total` | counter | `outcome`: `done`, `failed`, `timed_out` | flushes and hooks of the shutdown; the report names them |
//! | `shutdown_operations_total` | counter | `outcome`: `flushed`, `lost` | releases of locks, commits of detached sessions and log-outs that a flush waited for: answered by the store; or not in time, so that leases end the locks and what was committed may be lost |
//! | `requests_total` ¹ | counter | `outcome`: `served`, `rejected`, `overran`, `aborted` | ended by themselves, whatever their status; turned away by the drain gate; ended by `finish_within`; cut off at the drain's end |
//! | `requests_in_flight` ¹ | gauge | | not ended, to the last byte of the body |
//! | `request_oldest_seconds` ¹ | gauge | | age of the oldest of them, where they are listed |
//! | `sockets_upgraded` ¹ | gauge | | open WebSockets, on connections that the lifecycle listens to or wraps |
//! | `tasks` ¹ | gauge | | background tasks of `spawn` that run |
//! | `tasks_aborted_total` | counter | | those cut off at the drain's end |
//! | `sessions_total` | counter | `event`: `created`, `renewed`, `rotated`, `destroyed` | what this instance did to sessions; renewed means by a command of its own, and revoked ones are destroyed |
//! | `session_loads_total` | counter | `outcome`: `found`, `absent`, `unavailable`, `unknown`, `corrupt` | looks for a session; found ones are recovered from wherever they were last. A request without a cookie asks nobody |
//! | `session_writes_total` | counter | `outcome`: `written`, `conflict`, `gone`, `too_large`, `not_integer`, `unavailable`, `unknown`, `corrupt` | creations, saves, additions and updates, each try of an update for itself |
//! | `session_commits_total` | counter | `outcome`: `written`, `gone`, `discarded`, `unavailable`, `failed` | requests that left something to write at their answer; `unavailable` are those that could do without |
//! | `lock_acquires_total` | counter | `lock`; `outcome`: `acquired`, `busy`, `queue_full`, `unavailable`, `draining` | claims, one for each key; those of a dropped request are none of these |
//! | `lock_grants_total` | counter | `lock`; `path`: `free`, `local`, `queued` | the acquired ones, by how the key came: free when asked for; passed on within the process, without a round trip; after a wait in the backend's line, which with Redis is that of all instances |
//! | `lock_waits_total` | counter | `lock` | claims that stood in line |
//! | `lock_wait_seconds` | histogram | `lock` | of those acquired, from claim to lock, round trip included |
//! | `lock_hold_seconds` | histogram | `lock` | from lock to release |
//! | `lock_releases_total` | counter | `lock`; `outcome`: `freed`, `handed_over`, `lost_before`, `unknown` | what the first try to let go came to |
//! | `locks_lost_total` | counter | `lock` | the lease ended, the longest hold was over, or the shutdown took it, while the holder was at work |
//! | `lock_unguarded_total` | counter | `lock`; `reason`: `unavailable`, `key_missing` | requests that a policy let pass without a lock |
//! | `once_runs_total` | counter | `outcome`: `ran`, `fresh`, `skipped`, `failed`, `lost`, `unavailable`, `draining`, `unusable` | calls, not those that panicked or were dropped; `unusable` are results that cannot be kept or read |
//! | `redis_up` | gauge | | 1 while connected; with several handles, all that are open and have tried. 0 where none is |
//! | `redis_connects_total` | counter | | connections made |
//! | `redis_outages_total` | counter | `cause`: `unreachable`, `tls`, `login`, `not_ready`, `read_only`, `unknown_master`, `unsupported` | times that Redis went away, or was away at the start, by its first cause |
//! | `redis_commands_total` | counter | `outcome`: `answered`, `refused`, `away`, `unknown` | commands, but for subscriptions and signs of life; `away` were not carried out, `unknown` perhaps |
//! | `redis_batch_commands` | histogram | | commands that left in one write |
//!
//! How many sessions there are nobody counts: it would cost a command. How many locks an instance
//! holds is what it acquired less what it released.
//!
//! Of the locks that were waited for, the share that was passed on within an instance, and so cost
//! Redis nothing, in PromQL:
//!
//! ```text
//! sum by (lock) (rate(tower_handoff_lock_grants_total{path="local"}[5m]))
//!   / sum by (lock) (rate(tower_handoff_lock_grants_total{path=~"local|queued"}[5m]))
//! ```
//!
//! # Alerts
//! In PromQL, for Prometheus. Counters exist from [`describe`] on, as 0, so that `increase` sees
//! the first step too.
//!
//! ```text
//! # A drain that runs out of time cuts requests off: finish sooner, or raise the grace period.
//! increase(tower_handoff_requests_total{outcome="aborted"}[10m]) > 0
//! tower_handoff_shutdown_seconds > 0.8 * tower_handoff_grace_seconds
//!
//! # A flush gave up on Redis: others wait for leases, and what sockets had to say last may be lost.
//! increase(tower_handoff_shutdown_operations_total{outcome="lost"}[10m]) > 0
//!
//! # Requests still reach instances that turn them away: the settle is shorter than the load balancer needs.
//! increase(tower_handoff_requests_total{outcome="rejected"}[10m]) > 0
//!
//! # A request that hangs now will hold up the next rollout.
//! tower_handoff_request_oldest_seconds > tower_handoff_grace_seconds
//!
//! # Starts that fail, and instances that never get ready.
//! increase(tower_handoff_instance_starts_total{outcome="failed"}[10m]) > 0
//! min_over_time((tower_handoff_phase == bool 0)[5m:]) > 0
//!
//! # Somebody worked on under a lock that another one may have held: is the fence checked?
//! increase(tower_handoff_locks_lost_total[10m]) > 0
//! increase(tower_handoff_lock_unguarded_total{reason="unavailable"}[10m]) > 0
//!
//! # One request in ten gives up on its lock; and waiting takes longer than the work.
//! sum by (lock) (rate(tower_handoff_lock_acquires_total{outcome=~"busy|queue_full"}[5m]))
//!   / sum by (lock) (rate(tower_handoff_lock_acquires_total[5m])) > 0.1
//! sum by (lock) (rate(tower_handoff_lock_wait_seconds_sum[5m]))
//!   > sum by (lock) (rate(tower_handoff_lock_hold_seconds_sum[5m]))
//!
//! # Writes that were lost or may have been, and sessions that nobody can read.
//! increase(tower_handoff_session_writes_total{outcome=~"unavailable|unknown|corrupt"}[10m]) > 0
//! increase(tower_handoff_session_loads_total{outcome="corrupt"}[10m]) > 0
//!
//! # Redis is away, comes and goes, or answers too late to be believed.
//! tower_handoff_redis_up == 0
//! increase(tower_handoff_redis_connects_total[10m]) > 3
//! increase(tower_handoff_redis_commands_total{outcome="unknown"}[10m]) > 0
//! ```

#[cfg(feature = "metrics")]
mod describe;
#[cfg(feature = "metrics")]
mod described;
pub(crate) mod drain_marks;
#[cfg(feature = "metrics")]
mod lock_keys;
pub(crate) mod lock_meter;
pub(crate) mod names;
pub(crate) mod pending;
pub(crate) mod record;
#[cfg(feature = "redis")]
pub(crate) mod redis_up;
mod shape;
pub(crate) mod stopwatch;

#[cfg(feature = "metrics")]
pub use describe::describe;
