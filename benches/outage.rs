//! What a service answers while Redis is away, and how soon it is back.
//!
//! `cargo bench --bench outage [-- seconds]`: a server with one worker thread, 64 keep-alive
//! connections from another thread of the same process, each of which asks again when it is answered,
//! and a `redis-server` of its own that is killed or stands still. Five rounds; a rate, a ratio or a
//! return is their median, with the range; times of answers are taken over all rounds, those of each
//! connection's first ones apart: they find out. Once it is known, one connection asks alone for a while:
//! that is how soon the breaker answers. What the worker's thread was on a processor for tells rates and
//! ratios where others use the machine as well (Linux has it).
//!
//! Ends with 1 where one of the figures that are promised is missed, and names it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tower_handoff::lock::{LockGuard, LockLayer, key};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{Session, SessionError, SessionLayer};

#[path = "support/asking.rs"]
mod asking;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "../tests/it/support/redis_server.rs"]
mod redis_server;

use asking::{Client, Until, ask};
use redis_server::RedisServer;

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 64;
/// Asked one after the other by each connection.
const NEEDS_REDIS: [&str; 3] = ["/read", "/write", "/lock/a"];

/// Asked by one connection alone, once it is known that Redis is away.
const ALONE: usize = 300;

/// What is promised: of answers while Redis is away, of routes that need none, of the return.
const KNOWN_MS: f64 = 1.0;
const P99_MS: f64 = 5.0;
const RATE: f64 = 10_000.0;
const UNTOUCHED: f64 = 0.95;
const BACK_MS: f64 = 1_000.0;

fn main() -> ExitCode {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(2.0));
    println!(
        "| Redis is | first answers, max ms | alone, once it is known, ms | answers/s | p50 ms | p99 ms | \
         max ms | worker, µs an answer | untouched: rate of that before | and by the worker's time | \
         back after ms |"
    );
    println!("|{}", "---|".repeat(11));
    let mut missed = Vec::new();
    for (name, gone, back) in [("killed", "KILL", None), ("silent", "STOP", Some("CONT"))] {
        missed.extend(runtime().block_on(outage(name, gone, back, time)));
    }
    for figure in &missed {
        eprintln!("missed: {figure}");
    }
    if missed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Returns the figures that are missed.
async fn outage(name: &str, gone: &str, back: Option<&str>, time: Duration) -> Vec<String> {
    let mut server = Some(RedisServer::start());
    let port = server.as_ref().expect("it runs").port();
    let site = Site::start(server.as_ref().expect("it runs").url());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::start(site.addr).await);
    }
    let [
        mut rates,
        mut costs,
        mut ratios,
        mut cheaper,
        mut returns,
        mut known,
    ] = [(); 6].map(|()| Vec::new());
    let (mut first, mut times) = (0_f64, Vec::new());
    let away = StatusCode::SERVICE_UNAVAILABLE;
    for _ in 0..ROUNDS {
        let before = site.measure(&mut clients, &["/untouched"], time).await;
        assert_eq!(before.of(StatusCode::OK), before.times.len());
        server.as_ref().expect("it runs").signal(gone);
        let finds_out = ask(&mut clients, &NEEDS_REDIS, Until::Answers(6)).await;
        first = finds_out
            .iter()
            .map(|(time, _)| *time)
            .fold(first, f64::max);
        let mut alone = ask(&mut clients[..1], &NEEDS_REDIS, Until::Answers(ALONE)).await;
        alone.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        known.push(alone[alone.len() / 2].0);
        let refused = site.measure(&mut clients, &NEEDS_REDIS, time).await;
        assert_eq!(refused.of(away), refused.times.len());
        rates.push(refused.rate);
        costs.push(refused.cost);
        times.extend(refused.times.iter().map(|(time, _)| *time));
        let during = site.measure(&mut clients, &["/untouched"], time).await;
        assert_eq!(during.of(StatusCode::OK), during.times.len());
        ratios.push(during.rate / before.rate);
        cheaper.push(before.cost / during.cost);
        match back {
            Some(signal) => server.as_ref().expect("it runs").signal(signal),
            None => {
                drop(server.take());
                server = Some(RedisServer::start_on(port, &[]));
            }
        }
        let begun = Instant::now();
        while clients[0].ask("/read").await != StatusCode::OK {
            sleep(Duration::from_millis(1)).await;
        }
        returns.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let [known, rate, cost, ratio, by_time, back] =
        [known, rates, costs, ratios, cheaper, returns].map(Median::of);
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    println!(
        "| {name} | {first:.0} | {known:.2} | {rate:.0} | {p50:.2} | {p99:.2} | {max:.0} | {cost:.1} | \
         {ratio:.3} | {by_time:.3} | {back:.0} |"
    );
    // Without the worker's time what the clients saw has to do.
    let untouched = match by_time.middle.is_nan() {
        true => ratio.middle,
        false => by_time.middle,
    };
    let figures = [
        (
            "an answer once it is known, ms",
            known.middle,
            KNOWN_MS,
            known.middle <= KNOWN_MS,
        ),
        ("p99, ms", p99, P99_MS, p99 <= P99_MS),
        ("answers/s", rate.middle, RATE, rate.middle >= RATE),
        (
            "untouched routes",
            untouched,
            UNTOUCHED,
            untouched >= UNTOUCHED,
        ),
        (
            "back after, ms",
            back.middle,
            BACK_MS,
            back.middle <= BACK_MS,
        ),
    ];
    let missed = figures.iter().filter(|(.., is_met)| !is_met);
    let missed = missed.map(|(what, is, promised, _)| {
        format!("Redis is {name}: {what}: {is:.3}, promised is {promised}")
    });
    missed.collect()
}

/// The service, on a thread of its own until the process ends.
struct Site {
    addr: SocketAddr,
    /// What Linux calls its thread, below `/proc`.
    thread: Option<PathBuf>,
}

/// Milliseconds and status of each answer, answers a second, and the worker's microseconds for each.
struct Measured {
    times: Vec<(f64, StatusCode)>,
    rate: f64,
    cost: f64,
}

impl Measured {
    fn of(&self, status: StatusCode) -> usize {
        self.times
            .iter()
            .filter(|(_, each)| *each == status)
            .count()
    }
}

impl Site {
    fn start(redis: String) -> Self {
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let thread = std::fs::read_link("/proc/thread-self").ok();
            runtime().block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let addr = listener.local_addr().expect("bound");
                tell.send(Self { addr, thread }).expect("main waits");
                axum::serve(listener, app(&redis)).await.expect("it serves");
            });
        });
        told.recv().expect("it listens")
    }

    /// For how many nanoseconds the worker was on a processor.
    fn worked(&self) -> Option<f64> {
        let path = Path::new("/proc")
            .join(self.thread.as_ref()?)
            .join("schedstat");
        let text = std::fs::read_to_string(path).ok()?;
        text.split(' ').next()?.parse().ok()
    }

    async fn measure(&self, clients: &mut [Client], paths: &[&str], time: Duration) -> Measured {
        let before = self.worked();
        let times = ask(clients, paths, Until::Over(time)).await;
        let worked = before
            .zip(self.worked())
            .map(|(before, after)| after - before);
        Measured {
            rate: times.len() as f64 / time.as_secs_f64(),
            cost: worked.unwrap_or(f64::NAN) / times.len() as f64 / 1e3,
            times,
        }
    }
}

fn app(redis: &str) -> Router {
    let redis = RedisHandle::connect(redis).expect("a good url");
    let locks = LockLayer::new(redis.locks(), key::path("lock:{name}"));
    let read = async |session: Session| -> Result<String, SessionError> {
        Ok(session
            .get_raw("n")
            .await?
            .map_or(0, |n| n.len())
            .to_string())
    };
    let write = async |session: Session| session.set("n", &1);
    Router::new()
        .route("/untouched", post(async |_: Session| "untouched"))
        .route("/read", post(read))
        .route("/write", post(write))
        .layer(SessionLayer::new(redis.sessions()))
        .route("/lock/{name}", post(async |_: LockGuard| ()).layer(locks))
}

/// Of the rounds, with the range.
struct Median {
    first: f64,
    middle: f64,
    last: f64,
}

impl Median {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let [first, middle, last] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| values[at]);
        Self {
            first,
            middle,
            last,
        }
    }
}

impl std::fmt::Display for Median {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = f.precision().unwrap_or(0);
        let Self {
            first,
            middle,
            last,
        } = self;
        write!(f, "{middle:.digits$} ({first:.digits$}–{last:.digits$})")
    }
}
