//! What an instance is called.
//!
//! Floor 1.

use std::sync::LazyLock;

use crate::config::ConfigError;
use crate::random;

/// A name for an instance that was given none.
pub(crate) fn random_id() -> Box<str> {
    let bytes = random::bytes::<6>();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where this process runs: `{host}:{pid}`, the host as it calls itself, in at most 64 characters of
/// names.
pub(crate) fn place() -> &'static str {
    static PLACE: LazyLock<String> = LazyLock::new(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let named = |name| std::env::var(name).ok();
        let host = host.or_else(|| named("HOSTNAME"));
        let host = host.or_else(|| named("COMPUTERNAME")).unwrap_or_default();
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let host = host.trim().chars().take(64);
        let host: String = host.map(|c| if of_a_name(c) { c } else { '_' }).collect();
        let host = if host.is_empty() { "unknown" } else { &host };
        format!("{host}:{}", std::process::id())
    });
    &PLACE
}

pub(crate) fn checked_id(id: impl Into<String>) -> Result<Box<str>, ConfigError> {
    let id = id.into();
    if (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(id.into());
    }
    let accepted = "1 to 64 visible ASCII characters";
    Err(ConfigError::new("instance_id", id, accepted))
}
