//! Locks: uncontended cycles, and owner changes among tasks that hold for a millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey};

use crate::Error;
use crate::measure::{Series, header, row};
use crate::redis_server::Server;

const LEASE: Duration = Duration::from_secs(10);
const REPETITIONS: usize = 5;
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// One way to hold a lock on one key.
#[derive(Clone)]
enum Lock {
    Raw(redis::aio::MultiplexedConnection, Arc<redis::Script>),
    Handoff(tower_handoff::lock::RedisLocks),
    Rslock(rslock::LockManager),
}

impl Lock {
    /// Takes the lock (waiting where the peer can), runs `held`, lets go.
    async fn cycle(&self, key: &str, held: impl AsyncFnOnce()) -> Result<(), Error> {
        match self {
            Self::Raw(connection, script) => {
                let mut connection = connection.clone();
                let token = rand::random::<u128>().to_le_bytes();
                let _: String = redis::cmd("SET")
                    .arg(key)
                    .arg(&token[..])
                    .arg("NX")
                    .arg("PX")
                    .arg(10_000)
                    .query_async(&mut connection)
                    .await?;
                held().await;
                let _: i64 = script
                    .key(key)
                    .arg(&token[..])
                    .invoke_async(&mut connection)
                    .await?;
            }
            Self::Handoff(locks) => {
                let claim = Claim::new(LockKey::new(key)?, LeaseTime::new(LEASE)?);
                let acquired = locks.acquire(&claim, Some(Duration::from_secs(60))).await?;
                if !matches!(acquired, Acquired::Granted(_)) {
                    return Err(format!("not granted: {acquired:?}").into());
                }
                held().await;
                locks.release(&claim).await?;
            }
            Self::Rslock(manager) => {
                let guard = manager.acquire_no_guard(key.as_bytes(), LEASE).await?;
                held().await;
                manager.unlock(&guard).await;
            }
        }
        Ok(())
    }
}

pub async fn run(slice: Duration) -> Result<(), Error> {
    let server = Server::start()?;
    let url = server.url();
    let connection = redis::Client::open(url)?
        .get_multiplexed_async_connection()
        .await?;
    let redis = tower_handoff::RedisHandle::connect(url)?;
    let variants = [
        (
            "raw",
            Lock::Raw(connection, Arc::new(redis::Script::new(RELEASE))),
        ),
        ("tower-handoff", Lock::Handoff(redis.locks())),
        ("rslock", Lock::Rslock(rslock::LockManager::new(vec![url]))),
    ];
    println!("\n## Locks, uncontended, {REPETITIONS} repetitions of {slice:?}, interleaved\n");
    header(&[
        "lock",
        "cycles/s (median)",
        "spread",
        "÷ raw",
        "commands per cycle, those inside scripts included",
    ]);
    let mut rates = vec![Series::default(); variants.len()];
    let mut commands = vec![String::new(); variants.len()];
    for _ in 0..REPETITIONS {
        for (at, (_, lock)) in variants.iter().enumerate() {
            let before = server.usage()?;
            let (start, mut cycles) = (Instant::now(), 0u64);
            while start.elapsed() < slice {
                lock.cycle("alone", async || {}).await?;
                cycles += 1;
            }
            rates[at].push(cycles as f64 / start.elapsed().as_secs_f64());
            commands[at] = server.usage()?.commands_since(&before, cycles);
        }
    }
    for (at, (name, _)) in variants.iter().enumerate() {
        row(&[
            (*name).to_owned(),
            format!("{:.0}", rates[at].median()),
            rates[at].spread(),
            format!("{:.2}", rates[at].median() / rates[0].median()),
            commands[at].clone(),
        ]);
    }

    println!("\n## Locks, 16 tasks on one key, held 1 ms\n");
    header(&[
        "lock",
        "owner changes/s (median)",
        "spread",
        "÷ rslock",
        "longest wait ms (median)",
        "overlaps",
    ]);
    let contended = &variants[1..];
    let mut changes = vec![Series::default(); contended.len()];
    let mut longest = vec![Series::default(); contended.len()];
    let mut overlapping = vec![0; contended.len()];
    for _ in 0..REPETITIONS {
        for (at, (_, lock)) in contended.iter().enumerate() {
            let outcome = contend(lock, 16, slice).await?;
            changes[at].push(outcome.changes as f64 / slice.as_secs_f64());
            longest[at].push(outcome.longest.as_secs_f64() * 1e3);
            overlapping[at] += outcome.overlaps;
        }
    }
    for (at, (name, _)) in contended.iter().enumerate() {
        row(&[
            (*name).to_owned(),
            format!("{:.0}", changes[at].median()),
            changes[at].spread(),
            format!("{:.1}", changes[at].median() / changes[1].median()),
            format!("{:.1}", longest[at].median()),
            overlapping[at].to_string(),
        ]);
    }
    Ok(())
}

struct Outcome {
    changes: u64,
    longest: Duration,
    overlaps: u64,
}

async fn contend(lock: &Lock, tasks: usize, slice: Duration) -> Result<Outcome, Error> {
    let (owner, changes) = (
        Arc::new(AtomicUsize::new(usize::MAX)),
        Arc::new(AtomicU64::new(0)),
    );
    let (inside, overlaps) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let mut running = Vec::new();
    for task in 0..tasks {
        let lock = lock.clone();
        let (owner, changes, inside, overlaps) = (
            owner.clone(),
            changes.clone(),
            inside.clone(),
            overlaps.clone(),
        );
        running.push(tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            while start.elapsed() < slice {
                let asked = Instant::now();
                lock.cycle("shared", async || {
                    longest = longest.max(asked.elapsed());
                    if inside.fetch_add(1, Ordering::SeqCst) > 0 {
                        overlaps.fetch_add(1, Ordering::SeqCst);
                    }
                    if owner.swap(task, Ordering::SeqCst) != task && start.elapsed() < slice {
                        changes.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                })
                .await?;
            }
            Ok::<_, Error>(longest)
        }));
    }
    let mut longest = Duration::ZERO;
    for task in running {
        longest = longest.max(task.await??);
    }
    Ok(Outcome {
        changes: changes.load(Ordering::SeqCst),
        longest,
        overlaps: overlaps.load(Ordering::SeqCst),
    })
}
