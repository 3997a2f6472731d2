//! Time that all processes share, and how a process learns that it stood still.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds of this machine's clock.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    u64::try_from(since.as_micros()).expect("before the year 500000")
}

/// Resolves when this process's runtime stood still, or was slow: since when.
pub(super) async fn stalled() -> u64 {
    loop {
        let begun = now_us();
        tokio::time::sleep(Duration::from_millis(20)).await;
        if now_us() - begun > 120_000 {
            return begun;
        }
    }
}
