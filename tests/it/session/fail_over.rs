//! Session writes that wait for replicas, through fail-overs: nothing that was acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::SessionLayer;

use super::support::{request, visit};
use crate::support::eventually::eventually;
use crate::support::redis_sentinel::Watched;

/// A browser each of whose requests counts one field up: what is lost is missing for ever.
struct Browser {
    cookie: String,
    acknowledged: AtomicU64,
    sent: AtomicU64,
}

impl Browser {
    async fn begin(layer: &SessionLayer) -> Arc<Self> {
        Arc::new(Self {
            cookie: visit(layer, "", "name", "me").await,
            acknowledged: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        })
    }

    async fn go_on(&self, layer: &SessionLayer, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            self.sent.fetch_add(1, Ordering::SeqCst);
            let answer = request(layer, &self.cookie, async |session| {
                match session.increment("n", 1).await {
                    Ok(_) => StatusCode::OK,
                    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
                }
            });
            if answer.await.status == StatusCode::OK {
                self.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether the session holds all that was acknowledged, and nothing twice.
    async fn check(&self, layer: &SessionLayer) {
        let mut found = None;
        eventually("the session can be read", async || {
            let answer = request(layer, &self.cookie, async |session| {
                match session.get::<u64>("n").await {
                    Ok(value) => found = value,
                    Err(_) => return StatusCode::SERVICE_UNAVAILABLE,
                }
                StatusCode::OK
            });
            answer.await.status == StatusCode::OK
        })
        .await;
        let found = found.expect("it is not lost");
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let sent = self.sent.load(Ordering::SeqCst);
        assert!(
            (acknowledged..=sent).contains(&found),
            "{found} are there, {acknowledged} were acknowledged, {sent} sent"
        );
    }
}

/// Has browsers write through a fail-over for each `round`, and lets everything settle between them.
async fn nothing_is_lost(replicas: u8, rounds: u32, mut round: impl AsyncFnMut(&Watched)) {
    let all = Watched::start().await;
    let handle = RedisHandle::connect(&all.url()).unwrap();
    let within = Duration::from_millis(300);
    let sessions = handle.sessions().replicas(replicas, within).unwrap();
    let layer = SessionLayer::new(sessions);
    let mut browsers = Vec::new();
    for _ in 0..8 {
        browsers.push(Browser::begin(&layer).await);
    }
    for number in 1..=rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = browsers
            .iter()
            .map(|browser| {
                let (browser, layer, stop) = (browser.clone(), layer.clone(), stop.clone());
                tokio::spawn(async move { browser.go_on(&layer, &stop).await })
            })
            .collect();
        let count = || -> u64 {
            let counts = browsers.iter();
            counts
                .map(|it| it.acknowledged.load(Ordering::SeqCst))
                .sum()
        };
        let begun = count();
        eventually("writes are acknowledged", async || count() > begun + 200).await;
        let old = all.master();
        round(&all).await;
        eventually("there is another master", async || all.master() != old).await;
        let after = count();
        eventually("writes are acknowledged again", async || {
            count() > after + 200
        })
        .await;
        stop.store(true, Ordering::SeqCst);
        for task in tasks {
            task.await.unwrap();
        }
        for browser in &browsers {
            browser.check(&layer).await;
        }
        println!(
            "fail-over {number}, {replicas} replicas: {} acknowledged, none lost",
            count()
        );
        if number < rounds {
            all.settles().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_masters_take_nothing_with_them() {
    for _ in 0..3 {
        nothing_is_lost(1, 1, async |all| all.server(all.master()).signal("KILL")).await;
    }
}

// The replica that is to be the master stops following first: so all of them have to acknowledge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_fail_overs_lose_nothing_that_all_replicas_have() {
    nothing_is_lost(2, 2, async |all| {
        all.sentinels[0].command(&["SENTINEL", "FAILOVER", "main"]);
    })
    .await;
}
