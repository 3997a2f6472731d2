//! What a service answers while Redis is away, and how soon it is back.
//!
//! `cargo bench --bench outage [-- seconds]`: a server with one worker thread, 64 keep-alive
//! connections from another thread of the same process, each of which asks again when it is answered,
//! and a `redis-server` of its own that is killed or stands still. Five rounds; a rate, a ratio or a
//! return is their median, with the range; times of answers are taken over all rounds, those of each
//! connection's first ones apart: they find out. What the worker's thread was on a processor for tells
//! rates and ratios where others use the machine as well (Linux has it).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tower_handoff::lock::{LockGuard, LockLayer, key};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{Session, SessionError, SessionLayer};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "../tests/it/support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

const ROUNDS: usize = 5;
const CONNECTIONS: usize = 64;
/// Asked one after the other by each connection.
const NEEDS_REDIS: [&str; 3] = ["/read", "/write", "/lock/a"];

fn main() {
    let seconds = std::env::args().find_map(|argument| argument.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(2.0));
    println!(
        "| Redis is | first answers, max ms | answers/s | p50 ms | p99 ms | max ms | \
         worker, µs an answer | untouched: rate of that before | and by the worker's time | \
         back after ms |"
    );
    println!("|{}", "---|".repeat(10));
    for (name, gone, back) in [("killed", "KILL", None), ("silent", "STOP", Some("CONT"))] {
        runtime().block_on(outage(name, gone, back, time));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn outage(name: &str, gone: &str, back: Option<&str>, time: Duration) {
    let mut server = Some(RedisServer::start());
    let port = server.as_ref().expect("it runs").port();
    let site = Site::start(server.as_ref().expect("it runs").url());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::start(site.addr).await);
    }
    let [mut rates, mut costs, mut ratios, mut cheaper, mut returns] = [(); 5].map(|()| Vec::new());
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
    println!(
        "| {name} | {first:.0} | {} | {:.2} | {:.2} | {:.0} | {} | {} | {} | {} |",
        summary(&mut rates, 0),
        at(0.5),
        at(0.99),
        at(1.0),
        summary(&mut costs, 1),
        summary(&mut ratios, 3),
        summary(&mut cheaper, 3),
        summary(&mut returns, 0),
    );
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

struct Client {
    sender: SendRequest<Empty<Bytes>>,
    cookie: HeaderValue,
}

impl Client {
    /// A visitor with a session.
    async fn start(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        stream.set_nodelay(true).expect("an open socket");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1");
        tokio::spawn(connection);
        let cookie = HeaderValue::from_static("none=1");
        let mut client = Self { sender, cookie };
        let answer = client.send("/write").await;
        let cookie = answer.headers()[SET_COOKIE].to_str().expect("ASCII");
        let pair = cookie.split(';').next().expect("a pair");
        client.cookie = HeaderValue::from_str(pair).expect("a value");
        client
    }

    async fn send(&mut self, path: &str) -> http::Response<()> {
        let mut request = Request::post(path).body(Empty::new()).expect("a request");
        request.headers_mut().insert(COOKIE, self.cookie.clone());
        self.sender.ready().await.expect("keep-alive");
        let answer = self.sender.send_request(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        body.collect().await.expect("a whole answer");
        http::Response::from_parts(parts, ())
    }

    async fn ask(&mut self, path: &str) -> StatusCode {
        self.send(path).await.status()
    }
}

#[derive(Clone, Copy)]
enum Until {
    Over(Duration),
    /// For each connection.
    Answers(usize),
}

/// All connections ask these again and again.
async fn ask(clients: &mut [Client], paths: &[&str], until: Until) -> Vec<(f64, StatusCode)> {
    let begun = Instant::now();
    let asked = clients.iter_mut().map(async |client| {
        let mut times = Vec::new();
        for path in paths.iter().cycle() {
            let is_over = match until {
                Until::Over(time) => begun.elapsed() >= time,
                Until::Answers(count) => times.len() >= count,
            };
            if is_over {
                break;
            }
            let begun = Instant::now();
            let status = client.ask(path).await;
            times.push((begun.elapsed().as_secs_f64() * 1e3, status));
        }
        times
    });
    futures_util::future::join_all(asked).await.concat()
}

fn summary(values: &mut [f64], digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let [first, middle, last] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| values[at]);
    format!("{middle:.digits$} ({first:.digits$}–{last:.digits$})")
}
