//! The supervised connection: what it promises when Redis or the network fails.
//!
//! Faults × what a request does. Each row of `cells` is one test: before the fault everything works,
//! and somebody waits in line for a lock; under it eight requests come at once, so that each of them
//! is the one that finds out, and eight more when the state is known; after it everything works
//! again by itself. 200 is `+`; `-` is 503 with `Retry-After` and without a cookie, in a bound of
//! time that no request exceeds: two time-outs, for who waits for a lock three seconds more, and what a busy
//! machine needs. Where it is known that Redis is away nothing is waited for: the answer comes in a few turns
//! of the thread, counted.
//!
//! | fault | untouched | read | write | rotate | logout | lock | wait | once | in line before | refused, was it done? |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | stopped, and started with its append-only file | + | - | - | - | - | - | - | - | - | perhaps |
//! | killed, and started with its file: `always`, `everysec` | + | - | - | - | - | - | - | - | - | perhaps |
//! | killed, and started empty | + | - | - | - | - | - | - | - | - | all is lost |
//! | paused 2 s, paused past all time-outs | + | - | - | - | - | - | - | - | - | perhaps |
//! | answers lost | + | - | - | - | - | - | - | - | - | perhaps |
//! | a connection ends within a request, within an answer | + | - | - | - | - | - | - | - | - | perhaps |
//! | connections cut, half-open, requests lost | + | - | - | - | - | - | - | - | - | no |
//! | slow, 200 ms | + | + | + | + | + | + | + | + | + | |
//! | `OOM` | + | + | - | - | + | - | - | - | + | no |
//! | `NOREPLICAS`, `MISCONF` | + | + | - | - | - | - | - | - | - | no |
//! | `READONLY` | + | - once known | - | - | - | - | - | - | - | no |
//! | `MASTERDOWN`, `LOADING`, `NOAUTH` | + | - | - | - | - | - | - | - | - | no |
//! | `SCRIPT FLUSH` | + | + | + | + | + | + | + | + | + | |
//!
//! What was answered well is so afterwards, once: a value, a new cookie and the end of the old one, a
//! session that was ended, a job that was done (with `everysec`, once the file was synced); fences
//! grow, also past an empty start. The health check says why, or warns of what is refused, and the log
//! has a few lines, however many requests there are. A job that was refused was not run. What was refused with
//! "perhaps" was done once or not at all: then a rotation that nobody heard of may have cost the
//! cookie, and a logout may have ended the session. No lock, no place in a line and no task is left
//! over, and where Redis was not away the connection is the same.
//!
//! Half-open, answers lost or ended within, and paused are so over TLS as well.
//!
//! On Sentinel (`sentinel::cells`) everybody asks all the while, and writes and grants wait for replicas;
//! `?` is either. What was answered well is there afterwards, whichever server follows, but for the results of
//! jobs, that wait for no replica: then such a job runs again. One that runs in the moment of the switch
//! loses its lease, which is a 500.
//!
//! | fault | untouched | read | write | rotate | logout | lock | wait | once | in line before | refused, was it done? |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | the master is killed, or paused past all time-outs: until another one serves | + | - | - | - | - | - | - | - | - | perhaps |
//! | it comes back, before it is made a replica and after | + | + | + | + | + | + | + | + | | |
//! | a fail-over is asked for; both replicas are waited for | + | ? | ? | ? | ? | ? | ? | ? | ? | perhaps |
//! | a sentinel is killed; one of two replicas is, and one is waited for | + | + | + | + | + | + | + | + | + | |
//! | the other one is, too | + | + | - | - | - | - | - | + | | perhaps |
//!
//! So it is on a Cluster (`cluster::cells`). Where a master is killed, all is asked of that one, and a replica is
//! waited for: what it had written in the end no replica had, and nobody was told that it was.
//!
//! | fault | untouched | read | write | rotate | logout | lock | wait | once | in line before | refused, was it done? |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | the master is killed: until a replica serves | + | - | - | - | - | - | - | - | - | perhaps |
//! | every master gives its place to its replica | + | ? | ? | ? | ? | ? | ? | ? | | perhaps |
//! | slots go to another master | + | + | + | + | + | ? | ? | ? | | perhaps |
//!
//! Every row of the first table runs once in CI, and ten times over on one handle by `./scripts/test long`
//! (`TOWER_HANDOFF_LONG`). Those of Sentinel and Cluster are the same in both: whole, one at a time, with
//! nothing beside them.
//!
//! | beside the table | where |
//! | --- | --- |
//! | one command under each fault, bounds, epochs | `outage`, `faults`, `hang_ups`, `login`, `tls`, `scripts` |
//! | many at random on one connection | `chaos` |
//! | what an operator is told where Redis is up, and not well | `warnings`, `refused_twice`, `rights` |
//! | this process is the one that has no time | `overload` |
//! | Redis is far, and more is asked than fits through the window | `far` |
//! | Redis stands still, and more is asked than it may owe | `window` |
//! | who holds a lock or works on a job meanwhile | `lock::faults`, `lock::histories`, `once::lost`; policies: `once::away` |
//! | three instances under load | `fleet::soak` |
//! | Cluster: slots that move, a master killed or replaced | `cluster` |
//! | Sentinel: dead, slow, stale or cut-off sentinels, what a fail-over takes | `sentinel`, `sentinel_fail_over`, `session::fail_over`, `lock::histories` |

mod cells;
mod chaos;
mod close;
#[cfg(feature = "cluster")]
mod cluster;
mod configuration;
mod far;
mod faults;
mod gathering;
mod hang_ups;
mod inbox;
mod logging;
mod login;
mod outage;
mod overload;
mod refused_twice;
mod rights;
mod said;
mod scripts;
#[cfg(feature = "sentinel")]
mod sentinel;
#[cfg(feature = "sentinel")]
mod sentinel_fail_over;
#[cfg(feature = "sentinel")]
mod sentinel_settings;
mod setup;
#[cfg(feature = "tls-rustls")]
mod tls;
#[cfg(feature = "tls-rustls")]
mod tls_settings;
mod unix;
mod versions;
mod warnings;
mod window;
