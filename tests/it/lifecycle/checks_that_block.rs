//! A check that blocks its thread: probes go on, and no second run begins beside the first.
#![allow(clippy::disallowed_methods, reason = "to block is what they are about")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tower::ServiceExt;
use tower_handoff::health::{Check, CheckPolicy, ProbeService};
use tower_handoff::lifecycle::Phase;

use super::common::{eventually, quiet_builder, within};

const MOMENT: Duration = Duration::from_millis(20);

/// What a thread stands at until it is opened; also when the test ends, however it does.
#[derive(Default)]
struct Barrier(Mutex<bool>, Condvar);

impl Barrier {
    fn pass(&self) {
        let open = self.0.lock().unwrap();
        drop(self.1.wait_while(open, |open| !*open).unwrap());
    }
}

struct Opens(Arc<Barrier>);

impl Drop for Opens {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

fn barrier() -> (Arc<Barrier>, Opens) {
    let barrier = Arc::<Barrier>::default();
    (barrier.clone(), Opens(barrier))
}

/// Runs under way, the most there were at a time, and those that began.
#[derive(Default)]
struct Runs {
    now: AtomicU64,
    most: AtomicU64,
    begun: AtomicU64,
}

impl Runs {
    fn run(&self, barrier: &Barrier) {
        self.most
            .fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        self.begun.fetch_add(1, SeqCst);
        barrier.pass();
        self.now.fetch_sub(1, SeqCst);
    }
}

async fn ready(probes: ProbeService) -> (u16, String) {
    let Ok(answer) = probes
        .oneshot(Request::get("/ready").body(()).unwrap())
        .await;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Tasks of others, as any server has: they wake the worker that is free, and it sees to the timers when
/// it rests again. Until what is returned is dropped.
fn traffic() -> Arc<()> {
    let wanted = Arc::new(());
    let (still, runtime) = (Arc::downgrade(&wanted), Handle::current());
    std::thread::spawn(move || {
        while still.strong_count() > 0 {
            drop(runtime.spawn(async {}));
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_blocks_takes_one_thread_and_no_more() {
    let _traffic = traffic();
    let runs = Arc::new(Runs::default());
    let (barrier, opens) = barrier();
    let blocking = {
        let runs = runs.clone();
        Check::new("blocks", move || {
            let (runs, barrier) = (runs.clone(), barrier.clone());
            async move {
                runs.run(&barrier);
                Ok(())
            }
        })
    };
    let policy = CheckPolicy::default().interval(MOMENT).retry(MOMENT);
    let lifecycle = quiet_builder()
        .check(blocking.policy(policy.timeout(MOMENT)))
        .build()
        .unwrap();
    let (handle, probes) = (lifecycle.handle(), lifecycle.probes().with_details(true));
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Ready).await;

    // On a thread of the runtime, as a server's are.
    eventually("it is out of time", async || {
        let (code, body) = tokio::spawn(ready(probes.clone())).await.unwrap();
        code == 503 && body.contains("does not answer in time")
    })
    .await;
    // While the first run blocks, for many time-outs and intervals: it, and no other, is out of time.
    tokio::time::sleep(20 * MOMENT).await;
    assert_eq!((runs.now.load(SeqCst), runs.begun.load(SeqCst)), (1, 1));
    drop(opens);

    eventually("it passes again", async || {
        ready(probes.clone()).await.0 == 200
    })
    .await;
    assert_eq!(runs.most.load(SeqCst), 1);
    assert!(runs.begun.load(SeqCst) > 1);
    handle.shutdown();
    within("the run", run).await.unwrap();
}

/// Else it would be believed for as long as it blocks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_passed_and_then_blocks_fails_though_no_other_run_begins() {
    let _traffic = traffic();
    // How many runs blocked, from when they are to.
    let (blocks, runs) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let (barrier, opens) = barrier();
    let blocking = {
        let (blocks, runs) = (blocks.clone(), runs.clone());
        Check::new("blocks", move || {
            let (blocks, runs, barrier) = (blocks.clone(), runs.clone(), barrier.clone());
            async move {
                if blocks.load(SeqCst) {
                    runs.fetch_add(1, SeqCst);
                    barrier.pass();
                }
                Ok(())
            }
        })
    };
    let policy = CheckPolicy::default().interval(MOMENT).retry(MOMENT);
    let policy = policy.timeout(MOMENT).fail_after(4);
    let builder = quiet_builder().check(blocking.policy(policy));
    let lifecycle = builder.build().unwrap();
    let (handle, probes) = (lifecycle.handle(), lifecycle.probes());
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    let says = async |code| tokio::spawn(ready(probes.clone())).await.unwrap().0 == code;
    eventually("it passes", async || says(200).await).await;
    blocks.store(true, SeqCst);
    eventually("a run blocks", async || runs.load(SeqCst) == 1).await;
    eventually("it fails", async || says(503).await).await;
    assert_eq!(runs.load(SeqCst), 1);
    handle.shutdown();
    drop(opens);
    within("the run", run).await.unwrap();
}
