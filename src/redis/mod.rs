//! One supervised connection to Redis, shared by sessions and locks.

mod error;
mod handle;
mod keyspace;
mod script;

pub use error::{RedisError, RedisErrorKind};
pub use handle::RedisHandle;
pub(crate) use keyspace::Keyspace;
pub(crate) use script::{Script, script};
