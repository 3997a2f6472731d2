//! The supervised connection: what it promises when Redis or the network fails.

mod chaos;
mod close;
mod configuration;
mod faults;
mod gathering;
mod hang_ups;
mod inbox;
mod logging;
mod outage;
mod scripts;
