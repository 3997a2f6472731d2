//! What an instance is called.
//!
//! Floor 1.

use crate::config::ConfigError;
use crate::random;

/// A name for an instance that was given none.
pub(crate) fn random_id() -> Box<str> {
    let bytes = random::bytes::<6>();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn checked_id(id: impl Into<String>) -> Result<Box<str>, ConfigError> {
    let id = id.into();
    if (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(id.into());
    }
    let accepted = "1 to 64 visible ASCII characters";
    Err(ConfigError::new("instance_id", id, accepted))
}
