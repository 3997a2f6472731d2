//! What takes its time, on several servers: everybody asks all the while, and what was answered well is
//! there afterwards.

use http::StatusCode;
use tokio::task::spawn_blocking;
use tower_handoff::redis::RedisHandle;

use super::ledger::{ASKS, Kept, Ledger};
use super::neighbour::Neighbour;
use super::site::Site;
use super::{is_well, row};
use crate::support::eventually::{PATIENCE, eventually};

/// How many of each of the asks were refused, by name.
pub(in crate::redis) type Refused = [(String, u64); ASKS.len()];

/// Begins `fault` once all is well, and has everybody ask until it is over. Afterwards all is well, what
/// was acknowledged was done once, and what was refused once or not at all.
pub(in crate::redis) async fn nothing_acknowledged_is_lost<T: Send + 'static>(
    url: &str,
    fault: impl FnOnce() -> T + Send + 'static,
) -> Refused {
    // A slot that is half-way is waited for: as long as a move takes on a busy machine.
    let site = Site::with_timeout(RedisHandle::builder(url), PATIENCE / 8);
    let neighbour = Neighbour::new(url);
    let mut ledger = Ledger::under_load();
    is_well(&site, &neighbour, &mut ledger).await;
    let mut refused = ASKS.map(|ask| (format!("{ask:?}"), 0));
    let fault = spawn_blocking(fault);
    let mut rows = 0;
    while !fault.is_finished() {
        let row = row(&site, &neighbour, &mut ledger).await;
        let marks = refused.iter_mut().zip(row.chars());
        marks.for_each(|((_, count), mark)| *count += u64::from(mark == '-'));
        rows += 1;
    }
    let _world = fault.await.expect("no panic");
    eventually("Redis is found", async || site.redis.ping().await.is_ok()).await;
    ledger.check(&site, Kept::Perhaps).await;
    is_well(&site, &neighbour, &mut ledger).await;
    eventually("every job can be run", async || {
        ledger.jobs_are_free(&site).await
    })
    .await;
    let untouched = site.send("/untouched", "").await.status;
    assert_eq!(untouched, StatusCode::OK);
    println!("asked {rows} times each, refused {refused:?}");
    assert!(rows > 2, "{rows}");
    assert_eq!(refused[0].1, 0, "what needs no Redis");
    refused
}
