//! The life of an instance: phases, in-flight tracking, the drain gate, probes, the shutdown.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod common;

mod arrivals;
mod budget;
mod busy;
mod cancellations;
mod checks;
mod checks_that_block;
mod close_at_drain;
mod deadline;
#[cfg(unix)]
mod descriptors;
mod detached;
mod finish_within;
mod first_bytes;
mod gate;
mod gone_quiet;
mod grpc;
mod grpc_servers;
mod half_time;
mod handshakes;
mod hanging;
mod hanging_http2;
mod in_flight;
mod in_flight_race;
mod instance;
mod last_moments;
mod late_tasks;
mod latecomers;
mod log_out;
#[cfg(target_os = "linux")]
mod manager_away;
mod most_named;
mod parts;
mod phase_log;
mod phases;
mod piped;
mod platform;
mod pre_stop;
mod probes;
mod probes_abused;
mod refused_stream;
mod request_ids;
mod run_end;
mod run_timeline;
mod serve_axum;
mod serve_hyper;
mod service_contract;
mod settle;
#[cfg(unix)]
mod signals;
mod sockets;
mod stuck_writes;
mod told;
mod unfinished_heads;
mod unheard_listeners;
mod unheld;
mod uploads;
mod wrapped;
mod zero;
