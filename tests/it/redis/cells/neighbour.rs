//! Another instance of the fleet, which has its own way to Redis and holds what others want.

use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinHandle;
use tower_handoff::lock::{LeaseTime, LockKey, Locks, OwnedLock};
use tower_handoff::redis::RedisHandle;

use super::site::{Answer, Site};

pub(super) struct Neighbour {
    redis: RedisHandle,
    locks: Locks,
    /// Its lock on `wanted`, until somebody has waited for it.
    wanted: Mutex<Option<OwnedLock>>,
}

impl Neighbour {
    pub(super) fn new(url: &str) -> Self {
        Self::with_lease(url, LeaseTime::DEFAULT.get())
    }

    pub(super) fn with_lease(url: &str, lease: Duration) -> Self {
        let redis = RedisHandle::connect(url).expect("a good url");
        let locks = Locks::new(redis.locks()).with_lease(lease);
        Self {
            locks: locks.expect("a good lease"),
            redis,
            wanted: Mutex::default(),
        }
    }

    async fn take(&self, name: &str) -> Option<OwnedLock> {
        let key = LockKey::new(format!("cells:{name}")).expect("a good key");
        self.locks.try_acquire(key).await.ok()
    }

    /// Holds what the next visitor waits for, where it can.
    pub(super) async fn hold(&self) {
        if self.wanted.lock().expect("no panic").is_none() {
            let lock = self.take("wanted").await;
            *self.wanted.lock().expect("no panic") = lock;
        }
    }

    /// Somebody asks for what the neighbour holds, who lets go once it sees him in line.
    pub(super) async fn is_waited_for(&self, site: &Site) -> Answer {
        let mut answer = std::pin::pin!(site.send("/wait/wanted", ""));
        tokio::select! {
            answer = &mut answer => return answer,
            () = self.sees_a_line("wanted") => {}
        }
        drop(self.wanted.lock().expect("no panic").take());
        answer.await
    }

    /// Somebody who is in line behind the neighbour when a fault begins.
    pub(super) async fn puts_in_line(&self, site: &Site) -> InLine {
        let hold = self.take("line").await.expect("nobody else wants it");
        let (site, refusal) = (site.clone(), site.refusal());
        let answer = tokio::spawn(async move { site.send("/wait/line", "").await.status });
        self.sees_a_line("line").await;
        InLine {
            hold,
            answer,
            refusal,
        }
    }

    async fn sees_a_line(&self, name: &str) {
        let mut line = redis::cmd("LLEN");
        line.arg(format!("app:l1:{{cells:{name}}}:q"));
        loop {
            let length = self.redis.wire().send(line.clone()).await;
            if length.is_ok_and(|length| length == redis::Value::Int(1)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(in crate::redis) struct InLine {
    hold: OwnedLock,
    answer: JoinHandle<StatusCode>,
    /// In which it comes, where it is one.
    refusal: Duration,
}

impl InLine {
    /// Its answer while the neighbour holds on, and Redis is known to refuse.
    pub(in crate::redis) async fn refusal(&mut self) -> StatusCode {
        let answer = tokio::time::timeout(self.refusal, &mut self.answer).await;
        answer.expect("who is in line hangs").expect("no panic")
    }

    /// Its answer when the neighbour has let go.
    pub(in crate::redis) async fn service(self) -> StatusCode {
        drop(self.hold);
        self.answer.await.expect("no panic")
    }
}
