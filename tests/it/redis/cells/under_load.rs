//! What takes its time, on several servers: everybody asks all the while, and what was answered well is
//! there afterwards.

use std::cell::Cell;
use std::time::Duration;

use http::StatusCode;
#[cfg(feature = "cluster")]
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tower_handoff::lifecycle::Managed;
use tower_handoff::redis::RedisHandle;

pub(in crate::redis) use super::ledger::Kept;
use super::ledger::{ASKS, Ledger};
use super::neighbour::{InLine, Neighbour};
use super::site::Site;
pub(in crate::redis) use super::site::Terms;
use super::{is_well, row, tasks};
#[cfg(feature = "cluster")]
use crate::support::eventually::PATIENCE;
use crate::support::eventually::eventually;

/// How many of each of the asks were refused, by name.
pub(in crate::redis) type Refused = [(String, u64); ASKS.len()];

/// An instance, who asks it, and what they were told.
pub(in crate::redis) struct Load {
    site: Site,
    neighbour: Neighbour,
    ledger: Ledger,
    rows: u64,
    pub(in crate::redis) refused: Refused,
    /// That are alive while nothing goes on.
    tasks: usize,
}

impl Load {
    /// Begins once all is well.
    pub(in crate::redis) async fn start(url: &str, terms: Terms) -> Self {
        let mut load = Self {
            site: Site::on(RedisHandle::builder(url), terms),
            neighbour: Neighbour::with_lease(url, terms.lease),
            ledger: Ledger::under_load(),
            rows: 0,
            refused: ASKS.map(|ask| (format!("{ask:?}"), 0)),
            tasks: usize::MAX,
        };
        is_well(&load.site, &load.neighbour, &mut load.ledger).await;
        // What cares for the last of the leases ends when it would have been due, at a third of them; and
        // somebody may ask a sentinel just now.
        let begun = Instant::now();
        while begun.elapsed() < terms.lease / 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            load.tasks = load.tasks.min(tasks());
        }
        load
    }

    pub(in crate::redis) fn redis(&self) -> &RedisHandle {
        &self.site.redis
    }

    pub(in crate::redis) async fn puts_in_line(&self) -> InLine {
        self.neighbour.puts_in_line(&self.site).await
    }

    /// Each of the asks once, all at the same time: `+` for each 200.
    pub(in crate::redis) async fn row(&mut self) -> String {
        self.ledger.has_some_to_end(&self.site).await;
        let row = row(&self.site, &self.neighbour, &mut self.ledger).await;
        let marks = self.refused.iter_mut().zip(row.chars());
        marks.for_each(|((_, count), mark)| *count += u64::from(mark == '-'));
        self.rows += 1;
        row
    }

    /// Has everybody ask until this is over.
    pub(in crate::redis) async fn during<T>(&mut self, fault: impl Future<Output = T>) -> T {
        let is_over = Cell::new(false);
        let fault = async {
            let outcome = fault.await;
            is_over.set(true);
            outcome
        };
        let asking = async {
            while !is_over.get() {
                self.row().await;
                // Who is refused at once does not come back at once.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::join!(fault, asking).0
    }

    /// All is well, what was acknowledged was done once, what was refused as `kept` says, and no task is
    /// left over.
    pub(in crate::redis) async fn settles(&mut self, kept: Kept) {
        let Self {
            site,
            neighbour,
            ledger,
            ..
        } = self;
        eventually("Redis is found", async || site.redis.ping().await.is_ok()).await;
        ledger.check(site, kept).await;
        is_well(site, neighbour, ledger).await;
        eventually("every job can be run", async || {
            ledger.jobs_are_free(site).await
        })
        .await;
        let check = site.redis.health_check().expect("there is one");
        eventually("nobody is warned any more", async || {
            is_well(site, neighbour, ledger).await;
            site.redis.warning().is_none() && check.check().await.is_ok()
        })
        .await;
        let untouched = site.send("/untouched", "").await.status;
        assert_eq!(untouched, StatusCode::OK);
        println!("asked {} times each, refused {:?}", self.rows, self.refused);
        assert_eq!(self.refused[0].1, 0, "what needs no Redis");
        eventually("no task is left over", async || tasks() <= self.tasks).await;
    }
}

/// Begins `fault` once all is well, and has everybody ask until it is over. Afterwards all is well, what
/// was acknowledged was done once, and what was refused once or not at all.
#[cfg(feature = "cluster")]
pub(in crate::redis) async fn nothing_acknowledged_is_lost<T: Send + 'static>(
    url: &str,
    fault: impl FnOnce() -> T + Send + 'static,
) -> Refused {
    // A slot that is half-way is waited for: as long as a move takes on a busy machine.
    let terms = Terms {
        timeout: PATIENCE / 8,
        ..Terms::default()
    };
    let mut load = Load::start(url, terms).await;
    let fault = async { spawn_blocking(fault).await.expect("no panic") };
    let _world = load.during(fault).await;
    load.settles(Kept::Perhaps).await;
    assert!(load.rows > 2, "{}", load.rows);
    load.refused
}
