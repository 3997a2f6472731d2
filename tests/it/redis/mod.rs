//! The supervised connection: what it promises when Redis or the network fails.

mod cells;
mod chaos;
mod close;
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
