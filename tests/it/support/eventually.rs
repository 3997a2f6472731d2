//! Waiting for a condition instead of for a time.

use std::time::Duration;

/// How long a test waits for what must happen: far longer than it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often that the conditions of tests are waited for.
const LONGEST: Duration = PATIENCE.saturating_mul(3);

/// Asks again and again until the answer is yes.
///
/// # Panics
/// Where it is not within three times [`PATIENCE`]; `what` names it then.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(LONGEST, asked).await.is_err() {
        panic!("this did not happen in {LONGEST:?}: {what}");
    }
}
