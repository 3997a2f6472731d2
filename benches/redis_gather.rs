//! What gathering gains, and how long a black hole is felt.
//!
//! `cargo bench --bench redis_gather --features testing`, with a number for more rounds. It starts a
//! redis-server of its own and, where `taskset` is found and there is more than one processor,
//! keeps itself on processor 0 and the server on processor 1: otherwise the two share a core at
//! the scheduler's whim, and the ratios say little.
//!
//! Variants take turns within each round, so that whatever else the machine does hits all of
//! them; each line shows medians, and the median of the rounds' ratios to plain redis-rs, where each
//! caller writes for itself.

use std::process::{Command, Stdio};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::Instant;
use tower_handoff::redis::{RedisHandle, Wire};

#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/it/support/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "the tests need more of it")]
#[path = "../tests/it/support/redis_server.rs"]
mod redis_server;

use proxy::Proxy;
use redis_server::RedisServer;

const CALLERS: usize = 64;
const SLICE: Duration = Duration::from_millis(700);

#[derive(Clone)]
enum Client {
    Gathered(Wire),
    /// redis-rs by itself, with its response time-out: each caller writes for itself.
    Plain(MultiplexedConnection),
}

impl Client {
    async fn get(&mut self) {
        let mut command = redis::cmd("GET");
        command.arg("value");
        let reply = match self {
            Self::Gathered(wire) => wire.send(command).await.expect("it is up"),
            Self::Plain(connection) => command.query_async(connection).await.expect("it is up"),
        };
        assert!(matches!(reply, redis::Value::BulkString(bytes) if bytes.len() == 500));
    }
}

struct Sample {
    per_second: f64,
    redis_micros: f64,
    median_micros: f64,
}

fn main() {
    let rounds = std::env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(5_usize);
    let server = RedisServer::start();
    pin(&server);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    // Spawned, so that everything runs on the worker and nothing on this thread.
    let task = runtime.spawn(async move {
        compare(&server, rounds).await;
        recovery(&server, rounds).await;
    });
    runtime.block_on(task).expect("no panic");
}

async fn compare(server: &RedisServer, rounds: usize) {
    server.command(&["SET", "value", &"x".repeat(500)]);
    let gathered = RedisHandle::connect(&server.url()).expect("a good url");
    let plain = redis::Client::open(server.url()).expect("a good url");
    let plain = plain
        .get_multiplexed_async_connection()
        .await
        .expect("it is up");
    let variants = [
        ("plain", Client::Plain(plain)),
        ("gathered", Client::Gathered(gathered.wire())),
    ];
    for callers in [CALLERS, 1] {
        let mut samples: Vec<Vec<Sample>> = variants.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for ((_, client), samples) in variants.iter().zip(&mut samples) {
                samples.push(measure(server, client, callers).await);
            }
        }
        for ((name, _), own) in variants.iter().zip(&samples) {
            let ratio = |of: fn(&Sample) -> f64| {
                median(
                    own.iter()
                        .zip(&samples[0])
                        .map(|(a, b)| of(a) / of(b))
                        .collect(),
                )
            };
            let value = |of: fn(&Sample) -> f64| median(own.iter().map(of).collect());
            println!(
                "{callers:>2} callers, {name:<8}: {:>7.0} GET/s ({:.2}), Redis {:>5.2} us/GET ({:.2}), \
                 latency p50 {:>6.1} us ({:.2})",
                value(|s| s.per_second),
                ratio(|s| s.per_second),
                value(|s| s.redis_micros),
                ratio(|s| s.redis_micros),
                value(|s| s.median_micros),
                ratio(|s| s.median_micros),
            );
        }
    }
}

async fn measure(server: &RedisServer, client: &Client, callers: usize) -> Sample {
    let cpu = redis_cpu(server);
    let begun = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < SLICE {
                    let sent = Instant::now();
                    client.get().await;
                    times.push(sent.elapsed().as_nanos() as f64 / 1000.0);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    let elapsed = begun.elapsed();
    let count = times.len() as f64;
    Sample {
        per_second: count / elapsed.as_secs_f64(),
        redis_micros: (redis_cpu(server) - cpu) * 1e6 / count,
        median_micros: median(times),
    }
}

/// From the closing of a black hole to the first command that succeeds, one caller asking all
/// the time.
async fn recovery(server: &RedisServer, rounds: usize) {
    for open_for in [Duration::from_millis(50), Duration::from_secs(3)] {
        let mut times = Vec::new();
        let mut longest = Duration::ZERO;
        for _ in 0..rounds {
            let proxy = Proxy::start(server.port()).await;
            let handle = RedisHandle::connect(&proxy.url()).expect("a good url");
            handle.ping().await.expect("it is up");
            proxy.black_hole(true);
            let open = Instant::now();
            let mut closed = None;
            loop {
                if closed.is_none() && open.elapsed() >= open_for {
                    proxy.black_hole(false);
                    closed = Some(Instant::now());
                }
                let left = open_for.saturating_sub(open.elapsed());
                let asked = Instant::now();
                let mut ping = std::pin::pin!(handle.ping());
                let answered = tokio::select! {
                    answered = &mut ping => answered,
                    () = tokio::time::sleep(left), if closed.is_none() => {
                        proxy.black_hole(false);
                        closed = Some(Instant::now());
                        ping.await
                    }
                };
                longest = longest.max(asked.elapsed());
                match (answered, closed) {
                    (Ok(()), Some(closed)) => {
                        times.push(closed.elapsed().as_secs_f64() * 1000.0);
                        break;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        }
        let worst = times.iter().copied().fold(0.0, f64::max);
        println!(
            "black hole open for {open_for:?}: served again {:.0} ms after it closed (worst {worst:.0}), \
             longest wait of a command {longest:.0?}",
            median(times)
        );
    }
}

fn redis_cpu(server: &RedisServer) -> f64 {
    let text: String = redis::from_redis_value(server.command(&["INFO", "cpu"])).expect("text");
    ["used_cpu_sys:", "used_cpu_user:"]
        .iter()
        .map(|name| {
            let value = text.lines().find_map(|line| line.strip_prefix(name));
            value
                .and_then(|value| value.trim().parse::<f64>().ok())
                .expect("INFO has it")
        })
        .sum()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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
    println!(
        "{}",
        if pinned {
            "pinned: 0 and 1"
        } else {
            "not pinned"
        }
    );
}
