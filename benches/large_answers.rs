//! What large answers cost those who wait for small ones, and what further connections change.
//!
//! `cargo bench --bench large_answers --features testing [-- rounds]`: a `redis-server` of its own and one
//! worker thread; where `taskset` is found and there is more than one processor, each on its own. Sixteen
//! callers read sessions of 200 bytes or prolong locks, one after the other without a pause, while four read
//! values of 16 KiB, 256 KiB or 1 MiB. The ways:
//!
//! - `one`: one `RedisHandle` for all;
//! - `two`: one for what is small, one for what is large;
//! - `four`: any caller on any of four.
//!
//! They take turns within each round, beside the small callers alone. A figure is the median of the rounds,
//! a ratio the median of each round's ratio to `one`, with the range.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey, Renewed};
use tower_handoff::redis::RedisHandle;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../tests/it/support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

const SMALL: usize = 16;
const LARGE: usize = 4;
const SLICE: Duration = Duration::from_millis(700);
const SIZES: [usize; 3] = [16 << 10, 256 << 10, 1 << 20];

/// Which of four handles a caller has, by its number.
struct Way {
    name: &'static str,
    small: fn(usize) -> usize,
    large: Option<fn(usize) -> usize>,
}

const WAYS: [Way; 4] = [
    Way {
        name: "one",
        small: |_| 0,
        large: Some(|_| 0),
    },
    Way {
        name: "two",
        small: |_| 0,
        large: Some(|_| 1),
    },
    Way {
        name: "four",
        small: |number| number % 4,
        large: Some(|number| number % 4),
    },
    Way {
        name: "no large ones",
        small: |_| 0,
        large: None,
    },
];

/// Answers of small commands a second, their milliseconds, and megabytes of large ones a second.
struct Sample {
    rate: f64,
    p50: f64,
    p99: f64,
    large: f64,
}

fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok());
    let rounds = rounds.unwrap_or(5_usize).max(1);
    let server = RedisServer::start();
    pin(&server);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    // Spawned, so that everything runs on the worker and nothing on this thread.
    let task = runtime.spawn(async move { compare(&server, rounds).await });
    runtime.block_on(task).expect("no panic");
}

async fn compare(server: &RedisServer, rounds: usize) {
    server.command(&["SET", "session", &"x".repeat(200)]);
    let mut handles = Vec::new();
    for _ in 0..4 {
        let handle = RedisHandle::connect(&server.url()).expect("a good url");
        handle.ping().await.expect("it is up");
        handles.push(handle);
    }
    println!("| large | way | small/s | to one | p50 ms | p99 ms | to one | large MB/s | to one |");
    println!("|{}", "---|".repeat(9));
    for size in SIZES {
        server.command(&["SET", "large", &"x".repeat(size)]);
        let mut samples: [Vec<Sample>; WAYS.len()] = Default::default();
        for _ in 0..rounds {
            for (way, samples) in WAYS.iter().zip(&mut samples) {
                samples.push(measure(&handles, way).await);
            }
        }
        for (way, own) in WAYS.iter().zip(&samples) {
            let middle = |of: fn(&Sample) -> f64| summary(own.iter().map(of).collect()).0;
            let to_one = |of: fn(&Sample) -> f64| {
                let (middle, least, most) = summary(
                    own.iter()
                        .zip(&samples[0])
                        .map(|(own, one)| of(own) / of(one))
                        .collect(),
                );
                format!("{middle:.2} ({least:.2}–{most:.2})")
            };
            println!(
                "| {} KiB | {} | {:.0} | {} | {:.2} | {:.2} | {} | {:.0} | {} |",
                size >> 10,
                way.name,
                middle(|sample| sample.rate),
                to_one(|sample| sample.rate),
                middle(|sample| sample.p50),
                middle(|sample| sample.p99),
                to_one(|sample| sample.p99),
                middle(|sample| sample.large),
                to_one(|sample| sample.large),
            );
        }
    }
}

async fn measure(handles: &[RedisHandle], way: &Way) -> Sample {
    let over = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let small: Vec<_> = (0..SMALL)
        .map(|number| {
            let handle = handles[(way.small)(number)].clone();
            tokio::spawn(small(handle, number, Arc::clone(&over)))
        })
        .collect();
    let large: Vec<_> = (0..LARGE)
        .filter_map(|number| Some(handles[way.large?(number)].clone()))
        .map(|handle| tokio::spawn(large(handle, Arc::clone(&over))))
        .collect();
    tokio::time::sleep(SLICE).await;
    over.store(true, Ordering::Relaxed);
    let seconds = begun.elapsed().as_secs_f64();
    let mut times = Vec::new();
    for caller in small {
        times.extend(caller.await.expect("no panic"));
    }
    let mut bytes = 0;
    for caller in large {
        bytes += caller.await.expect("no panic");
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Sample {
        rate: times.len() as f64 / seconds,
        p50: at(0.5),
        p99: at(0.99),
        large: bytes as f64 / seconds / 1e6,
    }
}

/// Half of them read a session, the others prolong a lock of their own.
async fn small(handle: RedisHandle, number: usize, over: Arc<AtomicBool>) -> Vec<f64> {
    let (locks, wire) = (handle.locks(), handle.wire());
    let key = LockKey::new(format!("held-{number}")).expect("short");
    let claim = Claim::new(key, LeaseTime::DEFAULT);
    let granted = locks.acquire(&claim, None).await.expect("it is up");
    assert!(matches!(granted, Acquired::Granted(_)), "{granted:?}");
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        if number.is_multiple_of(2) {
            let session = wire.send(get("session")).await.expect("it is up");
            assert!(matches!(session, redis::Value::BulkString(bytes) if bytes.len() == 200));
        } else {
            let renewed = locks.renew(&claim).await.expect("it is up");
            assert!(matches!(renewed, Renewed::Renewed(_)), "{renewed:?}");
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    locks.release(&claim).await.expect("it is up");
    times
}

async fn large(handle: RedisHandle, over: Arc<AtomicBool>) -> usize {
    let (wire, mut bytes) = (handle.wire(), 0);
    while !over.load(Ordering::Relaxed) {
        match wire.send(get("large")).await.expect("it is up") {
            redis::Value::BulkString(value) => bytes += value.len(),
            other => panic!("{other:?}"),
        }
    }
    bytes
}

fn get(key: &str) -> redis::Cmd {
    let mut get = redis::cmd("GET");
    get.arg(key);
    get
}

/// The median, the least and the most.
fn summary(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (values[last / 2], values[0], values[last])
}

fn pin(server: &RedisServer) {
    let set = |processor: &str, pid: u32| {
        Command::new("taskset")
            .args(["-acp", processor, &pid.to_string()])
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let several = std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    let pinned = several && set("1", server.pid()) && set("0", std::process::id());
    let pinned = if pinned {
        "pinned: 0 and 1"
    } else {
        "not pinned"
    };
    println!("{pinned}");
}
