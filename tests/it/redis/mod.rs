//! The supervised connection: what it promises when Redis or the network fails.
//!
//! Faults × what a request does. Each row of `cells.rs` is one test of four requests (untouched,
//! read, write, lock) before, during and after the fault: status, bound, what is stored, whether the
//! connection stays, no task left over where no proxy is in between.
//!
//! | fault | untouched | read | write | lock | where |
//! | --- | --- | --- | --- | --- | --- |
//! | paused 2 s, paused past all time-outs | 200 | 503 | 503 | 503 | `cells::paused_for_…`; one command: `outage::a_stopped_redis_…` |
//! | half-open | 200 | 503 | 503 | 503 | `cells::half_open`; one command: `faults::a_connection_in_a_black_hole_…` |
//! | slow, 200 ms | 200 | 200 | 200 | 200 | `cells::slow` |
//! | `OOM`, `NOREPLICAS`, `MISCONF` | 200 | 200 | 503 | 503 | `cells::out_of_memory`, `too_few_replicas`, `snapshots_that_fail…` |
//! | `READONLY` | 200 | 503 once known | 503 | 503 | `cells::a_master_that_became_a_replica` |
//! | `MASTERDOWN` | 200 | 503 | 503 | 503 | `cells::a_replica_that_lost_its_master` |
//! | `LOADING` | | | | | one command: `outage::a_redis_that_loads_its_data_is_away` |
//! | killed and restarted empty | | | | | one command: `outage::a_killed_redis_…`; locks: `lock::faults` |
//! | network cut | | | | | commands: `faults::…`, `chaos` |
//! | `NOAUTH`, `WRONGPASS`, `NOPERM` | | | | | one command: `login` |
//! | TLS | | | | | one command: `tls` |
//! | `SCRIPT FLUSH` | | | | | one script: `scripts` |
//! | Cluster: slots that move, a master killed or replaced | | | | | `cluster` |
//!
//! Not there yet: rotate, logout, wait for a lock and once as columns; restarted with AOF and
//! Sentinel as rows.

mod cells;
mod chaos;
mod close;
#[cfg(feature = "cluster")]
mod cluster;
mod configuration;
mod faults;
mod gathering;
mod hang_ups;
mod inbox;
mod logging;
mod login;
mod outage;
mod scripts;
mod setup;
#[cfg(feature = "tls-rustls")]
mod tls;
#[cfg(feature = "tls-rustls")]
mod tls_settings;
