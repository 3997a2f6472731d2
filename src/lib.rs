//! Tower layers that let an instance hand its work to the next one and lose nothing.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod config;
mod error;
mod random;

pub mod drain_gate;
pub mod health;
pub mod in_flight;
pub mod lifecycle;
pub mod lock;
#[cfg(feature = "redis")]
pub mod redis;
pub mod session;

pub use answer::{AnswerBody, Reason, Refusal, Responder};
pub use config::ConfigError;
pub use error::BoxError;
