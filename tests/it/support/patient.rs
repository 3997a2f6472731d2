//! Redis, to tests in which it is never away.

use std::time::Duration;

use tower_handoff::redis::RedisHandle;

/// A handle that takes no answer for lost that is late: a busy machine may stand still for a second or two,
/// and that is no outage. Not for tests of outages.
pub(crate) fn patient(url: &str) -> RedisHandle {
    let builder = RedisHandle::builder(url).command_timeout(Duration::from_secs(5));
    builder.connect().expect("a good url")
}
