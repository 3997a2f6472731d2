//! What a handle says of itself: why it is away, and the lines that it logs.

use tower_handoff::redis::{AwayCause, RedisErrorKind, RedisHandle, RedisStatus};

/// Waits for the first attempt, and says how it ended.
pub(super) async fn failure(handle: &RedisHandle) -> (AwayCause, String) {
    let error = handle.ping().await.expect_err("it cannot connect");
    assert_eq!(error.kind(), RedisErrorKind::Away, "{error}");
    let RedisStatus::Away { cause, reason, .. } = handle.status() else {
        panic!("it was away a moment ago");
    };
    (cause, reason.to_string())
}

/// The lines of a log that are the library's.
pub(super) fn own_lines(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains("tower_handoff"))
        .collect()
}
