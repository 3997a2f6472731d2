//! The supervised connection: what it promises when Redis or the network fails.

mod close;
mod configuration;
mod faults;
mod gathering;
mod inbox;
mod outage;
mod scripts;
