//! Visitors that count, write, read back and take locks, each on a keep-alive connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::uses::Uses;
use crate::support::http::{Answer, Client};

/// Connections, each a visitor with a session of its own.
pub(super) const VISITORS: usize = 64;
pub(super) const LOCKS: usize = 8;
/// How many failures each visitor keeps.
const EXAMPLES: usize = 1_000;
/// After a failure.
const PAUSE: Duration = Duration::from_millis(10);

/// What all visitors saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: u64,
    /// Requests without an answer, or with one that is no success; the first thousands of them.
    pub(super) failures: Vec<String>,
    /// All of them, by what was asked and by the status, or 0 where there was none.
    pub(super) failed: BTreeMap<(String, u16), u64>,
    /// Increments that were answered, and those whose outcome nobody knows.
    pub(super) counted: u64,
    pub(super) unknown: u64,
    /// The visitors' counters at the end.
    pub(super) total: u64,
    /// Counters and values that were not what the visitor had last been told.
    pub(super) wrong: Vec<String>,
    pub(super) uses: Uses,
}

impl Seen {
    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.failures.extend(other.failures);
        for (what, count) in other.failed {
            *self.failed.entry(what).or_default() += count;
        }
        self.counted += other.counted;
        self.unknown += other.unknown;
        self.total += other.total;
        self.wrong.extend(other.wrong);
        self.uses.merge(other.uses);
    }
}

/// Load that goes on until it is stopped.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    visitors: JoinSet<Seen>,
}

impl Load {
    pub(super) fn start(addr: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let [requests, served, failed] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
        let mut visitors = JoinSet::new();
        for number in 0..VISITORS {
            let visitor = Visitor {
                number,
                client: Client::new(addr),
                requests: Arc::clone(&requests),
                served: Arc::clone(&served),
                failed: Arc::clone(&failed),
                seen: Seen::default(),
                last: 0,
            };
            visitors.spawn(visitor.run(Arc::clone(&stop)));
        }
        Self {
            stop,
            requests,
            served,
            failed,
            visitors,
        }
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those of them that succeeded.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Those that did not, or were not answered.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Ends the load; every visitor looks once more at its counter.
    pub(super) async fn stop(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        while let Some(visitor) = self.visitors.join_next().await {
            seen.merge(visitor.expect("no visitor panics"));
        }
        seen
    }
}

struct Visitor {
    number: usize,
    client: Client,
    requests: Arc<AtomicU64>,
    served: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    seen: Seen,
    /// The counter, as last told.
    last: u64,
}

impl Visitor {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Seen {
        let mut step = self.number;
        while !stop.load(Ordering::Relaxed) {
            match step % 8 {
                0 | 3 | 5 => self.count().await,
                1 => self.lock(step / 8 % LOCKS).await,
                2 => self.write_and_read(step).await,
                _ => {
                    self.ask("GET", "/session/n", None, 200).await;
                }
            }
            step += 1;
            // A connection that failed must not turn into a busy loop.
            tokio::task::yield_now().await;
        }
        if let Some(answer) = self.ask("GET", "/session/n", None, 200).await {
            let total = answer.json().as_u64().expect("a counter");
            let (counted, unknown) = (self.seen.counted, self.seen.unknown);
            if !(counted..=counted + unknown).contains(&total) {
                let wrong = format!("visitor {}: {total} of {counted} + {unknown}", self.number);
                self.seen.wrong.push(wrong);
            }
            self.seen.total += total;
        }
        self.seen
    }

    async fn count(&mut self) {
        let Some(answer) = self.ask("POST", "/counter/n", None, 200).await else {
            self.seen.unknown += 1;
            return;
        };
        self.seen.counted += 1;
        let value = answer.json().as_u64().expect("a counter");
        // What failed may have counted, what was answered has.
        if value <= self.last || value > self.last + 1 + self.seen.unknown {
            let wrong = format!("visitor {}: {} after {}", self.number, value, self.last);
            self.seen.wrong.push(wrong);
        }
        self.last = value;
    }

    async fn write_and_read(&mut self, step: usize) {
        let body = step.to_string();
        if self
            .ask("PUT", "/session/w", Some(&body), 204)
            .await
            .is_none()
        {
            return;
        }
        if let Some(answer) = self.ask("GET", "/session/w", None, 200).await
            && answer.text() != body
        {
            let wrong = format!(
                "visitor {}: wrote {body}, read {}",
                self.number,
                answer.text()
            );
            self.seen.wrong.push(wrong);
        }
    }

    async fn lock(&mut self, lock: usize) {
        let name = format!("resource-{lock}");
        let path = format!("/lock/{name}?hold_ms=1");
        if let Some(answer) = self.ask("POST", &path, None, 200).await {
            self.seen.uses.note(&name, &answer.json());
        }
    }

    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        status: u16,
    ) -> Option<Answer> {
        self.seen.requests += 1;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (status, failure) = match self.client.try_send(method, path, body).await {
            Ok(answer) if answer.status == status => {
                self.served.fetch_add(1, Ordering::Relaxed);
                return Some(answer);
            }
            // The first look, before the first increment.
            Ok(answer) if answer.status == 404 && self.seen.counted == 0 => return None,
            Ok(answer) => (answer.status, answer.text()),
            Err(error) => (0, error.to_string()),
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        let asked = format!("{method} {path}");
        if self.seen.failures.len() < EXAMPLES {
            let example = format!("{asked}: {status} {failure}");
            self.seen.failures.push(example);
        }
        *self.seen.failed.entry((asked, status)).or_default() += 1;
        // Refusals come at once, and those who are refused come back at once.
        tokio::time::sleep(PAUSE).await;
        None
    }
}
