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

/// A browser that writes a higher number with every request.
struct Browser {
    cookie: String,
    /// The last number that was acknowledged, the last that was sent, and how many were.
    acknowledged: AtomicU64,
    sent: AtomicU64,
    count: AtomicU64,
}

impl Browser {
    async fn begin(layer: &SessionLayer) -> Arc<Self> {
        Arc::new(Self {
            cookie: visit(layer, "", "n", "0").await,
            acknowledged: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            count: AtomicU64::new(0),
        })
    }

    async fn go_on(&self, layer: &SessionLayer, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
            let answer = request(layer, &self.cookie, async |session| {
                session.set("n", &number.to_string()).unwrap();
                StatusCode::OK
            });
            if answer.await.status == StatusCode::OK {
                self.acknowledged.store(number, Ordering::SeqCst);
                self.count.fetch_add(1, Ordering::SeqCst);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether the session holds what was last acknowledged, or something later.
    async fn check(&self, layer: &SessionLayer) {
        let mut found = None;
        eventually("the session can be read", async || {
            let answer = request(layer, &self.cookie, async |session| {
                match session.get::<String>("n").await {
                    Ok(value) => found = value,
                    Err(_) => return StatusCode::SERVICE_UNAVAILABLE,
                }
                StatusCode::OK
            });
            answer.await.status == StatusCode::OK
        })
        .await;
        let found: u64 = found.expect("it is not lost").parse().unwrap();
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let sent = self.sent.load(Ordering::SeqCst);
        assert!(
            (acknowledged..=sent).contains(&found),
            "{found} is there, {acknowledged} was acknowledged, {sent} sent"
        );
    }
}

/// Has browsers write through a fail-over for each `round`, which ends once all is whole again.
async fn nothing_is_lost(replicas: u8, rounds: u32, mut round: impl AsyncFnMut(&mut Watched)) {
    let mut all = Watched::start().await;
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
            counts.map(|it| it.count.load(Ordering::SeqCst)).sum()
        };
        let begun = count();
        eventually("writes are acknowledged", async || count() > begun + 200).await;
        let old = all.master();
        round(&mut all).await;
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
        let master = all.master();
        eventually("all is well again", async || all.is_whole(master)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_masters_take_nothing_with_them() {
    nothing_is_lost(1, 3, async |all| {
        let old = all.master();
        all.server(old).signal("KILL");
        eventually("there is another master", async || all.master() != old).await;
        all.restart_as_replica(old);
    })
    .await;
}

// The replica that is to be the master stops following first: so all of them have to acknowledge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_fail_overs_lose_nothing_that_all_replicas_have() {
    nothing_is_lost(2, 2, async |all| {
        all.sentinels[0].command(&["SENTINEL", "FAILOVER", "main"]);
    })
    .await;
}
