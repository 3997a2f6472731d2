//! What a service answers while Redis is away, and how soon it is back.
//!
//! `cargo bench --bench outage [-- seconds]`: a server with one worker thread, 64 keep-alive
//! connections from another thread of the same process, and a `redis-server` of its own that is
//! killed or stands still. Five rounds; rates and ratios are medians with their range, times are taken
//! over all rounds, from the moment of the fault on. Compare ratios only, and only within one run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
        "| Redis is | answers/s | p50 ms | p99 ms | max ms | untouched, of its rate before | back after ms |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, gone, back) in [("killed", "KILL", None), ("silent", "STOP", Some("CONT"))] {
        let runtime = runtime();
        runtime.block_on(outage(name, gone, back, time));
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
    let addr = serve(server.as_ref().expect("it runs").url());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::start(addr).await);
    }
    let (mut rates, mut ratios, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let before = ask(&mut clients, &["/untouched"], time, StatusCode::OK).await;
        server.as_ref().expect("it runs").signal(gone);
        let away = StatusCode::SERVICE_UNAVAILABLE;
        let mut refused = ask(&mut clients, &NEEDS_REDIS, time, away).await;
        rates.push(rate(&refused, time));
        times.append(&mut refused);
        let during = ask(&mut clients, &["/untouched"], time, StatusCode::OK).await;
        ratios.push(rate(&during, time) / rate(&before, time));
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
        "| {name} | {} | {:.2} | {:.2} | {:.0} | {} | {} |",
        summary(&mut rates, 0),
        at(0.5),
        at(0.99),
        at(1.0),
        summary(&mut ratios, 3),
        summary(&mut returns, 0),
    );
}

/// The service, on a thread of its own until the process ends.
fn serve(redis: String) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let redis = RedisHandle::connect(&redis).expect("a good url");
            let locks = LockLayer::new(redis.locks(), key::path("lock:{name}"));
            let read = async |session: Session| -> Result<String, SessionError> {
                Ok(session
                    .get_raw("n")
                    .await?
                    .map_or(0, |n| n.len())
                    .to_string())
            };
            let write = async |session: Session| session.set("n", &1);
            let app = Router::new()
                .route("/untouched", post(async |_: Session| "untouched"))
                .route("/read", post(read))
                .route("/write", post(write))
                .layer(SessionLayer::new(redis.sessions()))
                .route("/lock/{name}", post(async |_: LockGuard| ()).layer(locks));
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            tell.send(listener.local_addr().expect("bound"))
                .expect("main waits");
            axum::serve(listener, app).await.expect("it serves");
        });
    });
    told.recv().expect("it listens")
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

/// All connections ask these again and again; milliseconds of each answer.
async fn ask(
    clients: &mut [Client],
    paths: &[&str],
    time: Duration,
    expected: StatusCode,
) -> Vec<f64> {
    let over = Arc::new(AtomicBool::new(false));
    let ends = over.clone();
    let timer = tokio::spawn(async move {
        sleep(time).await;
        ends.store(true, Ordering::Relaxed);
    });
    let asked = clients.iter_mut().map(async |client| {
        let (mut times, mut others) = (Vec::new(), 0);
        let mut paths = paths.iter().cycle();
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let status = client.ask(paths.next().expect("a cycle")).await;
            others += usize::from(status != expected);
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        (times, others)
    });
    let asked = futures_util::future::join_all(asked).await;
    timer.await.expect("no panic");
    // A signal takes its time, so the first of them may find all as it was.
    let others: usize = asked.iter().map(|(_, others)| others).sum();
    let times: Vec<f64> = asked.into_iter().flat_map(|(times, _)| times).collect();
    assert!(
        others * 100 <= times.len(),
        "{others} of {} are not {expected}",
        times.len()
    );
    times
}

fn rate(times: &[f64], time: Duration) -> f64 {
    times.len() as f64 / time.as_secs_f64()
}

fn summary(values: &mut [f64], digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let [first, middle, last] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| values[at]);
    format!("{middle:.digits$} ({first:.digits$}–{last:.digits$})")
}
