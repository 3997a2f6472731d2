//! One process whose tasks want one key, and what it writes for the one that started it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::Barrier;

use super::lock::{Locks, Way};
use crate::Error;

/// What a worker writes when all of its tasks have released.
pub const READY: &str = "ready";

/// What a worker is to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub way: Way,
    pub tasks: usize,
    pub hold: Duration,
    /// When to stop asking, since the Unix epoch.
    pub until: Duration,
    /// When to begin.
    pub from: Duration,
    /// Each round all tasks of all processes ask once, together; the next begins when all have released.
    pub bursts: bool,
}

impl Plan {
    pub fn arguments(&self, url: &str) -> Vec<String> {
        vec![
            "lock-worker".to_owned(),
            self.way.name().to_owned(),
            url.to_owned(),
            self.tasks.to_string(),
            self.hold.as_micros().to_string(),
            self.from.as_nanos().to_string(),
            self.until.as_nanos().to_string(),
            u8::from(self.bursts).to_string(),
        ]
    }

    fn of_arguments(arguments: &[String]) -> Result<(Self, String), Error> {
        let [way, url, tasks, hold, from, until, bursts] = arguments else {
            return Err("lock-worker <lock> <url> <tasks> <hold> <from> <until> <bursts>".into());
        };
        let plan = Self {
            way: Way::of_name(way)?,
            tasks: tasks.parse()?,
            hold: Duration::from_micros(hold.parse()?),
            from: Duration::from_nanos(from.parse()?),
            until: Duration::from_nanos(until.parse()?),
            bursts: bursts == "1",
        };
        Ok((plan, url.clone()))
    }
}

/// Nanoseconds since the epoch: one clock for all processes of the machine.
pub fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// One hold of the lock.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    pub asked: u64,
    pub held: u64,
    pub let_go: u64,
    pub task: usize,
}

pub fn run(arguments: &[String]) -> Result<(), Error> {
    let (plan, url) = Plan::of_arguments(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    for hold in runtime.block_on(work(plan, &url))? {
        let Hold {
            asked,
            held,
            let_go,
            task,
        } = hold;
        println!("{asked} {held} {let_go} {task}");
    }
    Ok(())
}

/// Waits until all processes have ended the round; returns whether there is one more.
fn next_round() -> std::io::Result<bool> {
    println!("{READY}");
    Ok(std::io::stdin().read_line(&mut String::new())? > 0)
}

async fn work(plan: Plan, url: &str) -> Result<Vec<Hold>, Error> {
    let locks = Locks::open(plan.way, url).await?;
    let barrier = Arc::new(Barrier::new(plan.tasks));
    let over = Arc::new(AtomicBool::new(false));
    let mut running = Vec::new();
    for task in 0..plan.tasks {
        let lock = locks.task().await?;
        let (barrier, over) = (barrier.clone(), over.clone());
        running.push(tokio::spawn(async move {
            let mut holds = Vec::with_capacity(1 << 16);
            tokio::time::sleep(plan.from.saturating_sub(now())).await;
            loop {
                if plan.bursts {
                    // One of them asks for all, or one would be left alone.
                    if barrier.wait().await.is_leader() {
                        over.store(!tokio::task::spawn_blocking(next_round).await??, SeqCst);
                    }
                    barrier.wait().await;
                } else if now() >= plan.until {
                    over.store(true, SeqCst);
                }
                if over.load(SeqCst) {
                    return Ok::<_, Error>(holds);
                }
                let asked = now();
                let (mut held, mut let_go) = (asked, asked);
                lock.cycle("shared", async || {
                    held = now();
                    if !plan.hold.is_zero() {
                        tokio::time::sleep(plan.hold).await;
                    }
                    let_go = now();
                })
                .await?;
                let [asked, held, let_go] = [asked, held, let_go].map(|at| at.as_nanos() as u64);
                holds.push(Hold {
                    asked,
                    held,
                    let_go,
                    task,
                });
            }
        }));
    }
    let mut holds = Vec::new();
    for task in running {
        holds.append(&mut task.await??);
    }
    Ok(holds)
}
