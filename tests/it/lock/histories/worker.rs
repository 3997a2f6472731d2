//! One process of a history: tasks that use the resource under the lock layer, on and on.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tower_handoff::lock::{LockLayer, OnLost, RedisLocks};
use tower_handoff::redis::RedisHandle;

use super::super::rig::{Service, guarded, layer, ms, send};
use super::clock::{now_us, stalled};
use super::handler::use_it;
use crate::support::eventually::eventually;
use crate::support::random::Random;

/// Names what the process is to do.
pub(super) const VARIABLE: &str = "TOWER_HANDOFF_HISTORY";

/// This file's only test, by its name in the binary.
pub(super) fn name() -> String {
    let (_, path) = module_path!().split_once("::").expect("a crate and a path");
    format!("{path}::process")
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Errand {
    pub(super) process: u32,
    pub(super) seed: u64,
    pub(super) socket: PathBuf,
    pub(super) redis: String,
    pub(super) tasks: u32,
    pub(super) keys: u64,
    pub(super) lease_ms: u64,
    /// Goes on after its lock was lost, and says that it was not.
    pub(super) careless: bool,
    /// Every client waits for its answer, and no handler for anything but its one write.
    pub(super) brisk: bool,
}

/// How long a request waits: longer than all that a history can cost it.
pub(super) const WAIT_MS: u64 = 120_000;

/// What became of the requests of one process.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Counts {
    done: u64,
    /// Refused at once: it would not wait.
    busy: u64,
    /// Refused after its wait, by key.
    pub(super) expired: BTreeMap<String, u64>,
    unavailable: u64,
    stopped: u64,
    given_up: u64,
}

#[test]
#[ignore = "a process of the histories, which start it"]
fn process() {
    let errand = std::env::var(VARIABLE).expect("started by the histories, with an errand");
    let errand: Errand = serde_json::from_str(&errand).expect("an errand");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let hello = format!("hello {}\n", errand.process);
        let control = UnixStream::connect(&errand.socket)
            .await
            .expect("the resource is there");
        let (orders, mut reports) = control.into_split();
        reports
            .write_all(hello.as_bytes())
            .await
            .expect("it listens");
        let counts = work(&errand, orders, &mut reports).await;
        // The handle is gone, and with it all that it and its locks ever spawned.
        let metrics = tokio::runtime::Handle::current().metrics();
        eventually("no task is left", async || metrics.num_alive_tasks() == 0).await;
        let counts = serde_json::to_string(&counts).expect("text");
        let over = format!("over {counts}\n");
        reports
            .write_all(over.as_bytes())
            .await
            .expect("it listens");
    });
}

async fn work(
    errand: &Errand,
    orders: tokio::net::unix::OwnedReadHalf,
    reports: &mut tokio::net::unix::OwnedWriteHalf,
) -> Counts {
    let handle = RedisHandle::connect(&errand.redis).expect("a good url");
    let locks = handle.locks();
    let stop = Arc::new(AtomicBool::new(false));
    let counts = Arc::new(Mutex::new(Counts::default()));
    let tasks: Vec<_> = (0..errand.tasks)
        .map(|task| {
            let requests = Requests::new(errand, &locks, task);
            tokio::spawn(requests.run(stop.clone(), counts.clone()))
        })
        .collect();
    let told = async {
        let mut orders = BufReader::new(orders).lines();
        assert_eq!(
            orders.next_line().await.expect("an order").as_deref(),
            Some("stop")
        );
    };
    telling_of_stalls(told, reports).await;
    stop.store(true, Ordering::SeqCst);
    // They come to an end first.
    let ended = async {
        for task in tasks {
            task.await.expect("no panic");
        }
    };
    telling_of_stalls(ended, reports).await;
    eventually("nothing is held", async || locks.held().names().is_empty()).await;
    // Waits for every release that is still under way.
    locks.held().release_all().await;
    handle.close().await;
    let counts = counts.lock().expect("no panic");
    counts.clone()
}

async fn telling_of_stalls(
    meanwhile: impl Future<Output = ()>,
    reports: &mut tokio::net::unix::OwnedWriteHalf,
) {
    let mut meanwhile = pin!(meanwhile);
    loop {
        tokio::select! {
            // Who is told to stop by what it finds when it goes on has stood still before that.
            biased;
            from_us = stalled() => {
                let line = format!("stalled {from_us}\n");
                reports.write_all(line.as_bytes()).await.expect("it listens");
            }
            () = &mut meanwhile => return,
        }
    }
}

/// One task's services, each with another policy.
struct Requests {
    errand: Errand,
    random: Random,
    arrival: Arc<Arrival>,
    waiting: Service,
    stopping: Service,
    trying: Service,
}

impl Requests {
    fn new(errand: &Errand, locks: &RedisLocks, task: u32) -> Self {
        let layer = layer(locks)
            .with_lease(ms(errand.lease_ms))
            .expect("a good lease");
        let patient = layer.with_wait(ms(WAIT_MS)).expect("a good wait");
        let arrival = Arc::new(Arrival::default());
        let service = |layer: &LockLayer| {
            let (errand, arrival) = (Arc::new(errand.clone()), arrival.clone());
            guarded(layer, move |guard| {
                let (errand, arrived) = (errand.clone(), arrival.get());
                async move {
                    use_it(&errand, task, arrived, guard)
                        .await
                        .unwrap_or_default()
                }
            })
        };
        Self {
            random: Random::new(errand.seed.wrapping_add(u64::from(task) << 32)),
            waiting: service(&patient),
            stopping: service(&patient.clone().with_on_lost(OnLost::Stop)),
            trying: service(&patient.clone().with_try()),
            arrival,
            errand: errand.clone(),
        }
    }

    async fn run(mut self, stop: Arc<AtomicBool>, counts: Arc<Mutex<Counts>>) {
        while !stop.load(Ordering::SeqCst) {
            let key = self.random.below(self.errand.keys).to_string();
            let (service, patience) = match self.random.below(16) {
                0 => (&self.trying, None),
                1..=4 => (&self.stopping, None),
                // A client that goes away, sooner or later.
                5 if !self.errand.brisk => (&self.waiting, Some(self.random.ms(0..100))),
                _ => (&self.waiting, None),
            };
            let waits = !std::ptr::eq(service, &self.trying);
            let answer = self.arrival.of(send(service, &key));
            let answer = timeout(patience.unwrap_or(Duration::MAX), answer).await;
            let status = answer.map(|answer| answer.status().as_u16());
            {
                let mut counts = counts.lock().expect("no panic");
                let count = match status {
                    Err(_) => &mut counts.given_up,
                    Ok(200) => &mut counts.done,
                    Ok(409) if waits => counts.expired.entry(key).or_default(),
                    Ok(409) => &mut counts.busy,
                    Ok(500) => &mut counts.stopped,
                    Ok(503) => &mut counts.unavailable,
                    Ok(other) => panic!("{other}"),
                };
                *count += 1;
            }
            if status != Ok(200) {
                sleep(self.random.ms(5..50)).await;
            }
        }
    }
}

/// When a task's request asked, and when it waited: for its handler to tell.
#[derive(Debug, Default)]
struct Arrival {
    asked_us: AtomicU64,
    in_line_us: AtomicU64,
}

impl Arrival {
    /// Notes both for this request: who was polled once and has no answer yet is in its process's line.
    async fn of<F: Future>(&self, request: F) -> F::Output {
        self.asked_us.store(now_us(), Ordering::SeqCst);
        self.in_line_us.store(u64::MAX, Ordering::SeqCst);
        let mut request = pin!(request);
        let first = poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx))).await;
        if let Poll::Ready(answer) = first {
            return answer;
        }
        self.in_line_us.store(now_us(), Ordering::SeqCst);
        request.await
    }

    fn get(&self) -> (u64, u64) {
        let get = |at: &AtomicU64| at.load(Ordering::SeqCst);
        (get(&self.asked_us), get(&self.in_line_us))
    }
}
