//! From the drain's deadline to the end of whatever hangs, as its client sees it.
//!
//! `cargo bench --bench deadline --all-features`: what holds servers for ever, all at once, on an
//! unmodified `axum::serve` over loopback, again and again. A client waits for the end of its connection.
//! The one that reads nothing would not hear of it, so for that one the server is asked, once a
//! millisecond.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::sse::{Event, Sse};
use axum::routing::{any, get, post};
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceBuilder;
use tower_handoff::lifecycle::{Lifecycle, LifecycleHandle, Phase, PlatformKind, Stage};

const ROUNDS: usize = 11;

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &str = "\0\0\0\u{4}\0\0\0\0\0";
const HANDSHAKE: &str = "GET /deaf HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// `GET /` from HPACK's static table.
const GET: &str = "\0\0\u{3}\u{1}\u{5}\0\0\0\u{1}";
const UNREAD: &str = "32 MiB that nobody reads";

fn hanging() -> [(&'static str, Vec<u8>); 9] {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let settings = format!("{PREFACE}{EMPTY_SETTINGS}");
    let mut asks = format!("{settings}{GET}").into_bytes();
    asks.extend([0x82, 0x84, 0x86]);
    [
        ("half a head", bytes("GET / HTTP/1.1\r\nHost:")),
        (
            "half a body",
            bytes("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"),
        ),
        ("a handler without an end", get("/never")),
        ("server-sent events without an end", get("/events")),
        (UNREAD, get("/large")),
        ("a WebSocket that is not told", bytes(HANDSHAKE)),
        ("HTTP/2 without settings", bytes(PREFACE)),
        ("HTTP/2 that asks for nothing", bytes(&settings)),
        ("HTTP/2 that was answered and answers no ping", asks),
    ]
}

#[tokio::main]
async fn main() {
    let mut times: Vec<_> = hanging().map(|(name, _)| (name, Vec::new())).into();
    times.push(("all, and the run", Vec::new()));
    for _ in 0..ROUNDS {
        for ((_, times), took) in times.iter_mut().zip(round().await) {
            times.push(took);
        }
    }
    println!("| what hangs | ms from the deadline to its end, median (min–max) |");
    println!("|---|---|");
    for (name, mut times) in times {
        times.sort_by(f64::total_cmp);
        let [least, median, most] = [0, ROUNDS / 2, ROUNDS - 1].map(|at| times[at]);
        println!("| {name} | {median:.1} ({least:.1}–{most:.1}) |");
    }
}

/// What each took, and the run.
async fn round() -> Vec<f64> {
    // A second of drain, and the margin of twenty.
    let lifecycle = Lifecycle::builder()
        .platform(PlatformKind::Unknown)
        .grace(Duration::from_secs(20))
        .hook_time(Duration::from_secs(18))
        .signals(false)
        .build()
        .expect("it fits");
    let drain = lifecycle.budget().drain();
    let app = Router::new()
        .route("/upload", post(|body: Bytes| async move { body }))
        .route("/never", get(pending::<&str>))
        .route("/", get(|| async { "hello" }))
        .route(
            "/events",
            get(|| async {
                let ticks = stream::unfold((), |()| async {
                    sleep(Duration::from_millis(20)).await;
                    Some((Ok::<_, Infallible>(Event::default().data("tick")), ()))
                });
                Sse::new(ticks)
            }),
        )
        .route("/large", get(|| async { vec![b'x'; 32 << 20] }))
        .route(
            "/deaf",
            any(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|mut socket| async move {
                    while let Some(Ok(_)) = socket.recv().await {}
                })
            }),
        )
        .layer(ServiceBuilder::new().layer(lifecycle.layer()));
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = tcp.local_addr().expect("bound");
    let handle = lifecycle.handle();
    let server = axum::serve(lifecycle.listener(tcp), app)
        .with_graceful_shutdown(lifecycle.stop_accepting());
    let run = tokio::spawn(lifecycle.run(server));
    handle.watch().reached(Phase::Ready).await;
    let mut clients = Vec::new();
    for (_, begins) in hanging() {
        clients.push(begin(address, &begins).await);
    }
    // A head, an answer and a socket on connections; a body, a handler and a stream.
    let begun = async {
        while handle.status().connections.len() < 3 || handle.in_flight().count() != 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let begun = timeout(Duration::from_secs(20), begun).await;
    begun.expect("all of them have begun");
    let deadline = Instant::now() + drain;
    handle.shutdown();
    let ended = hanging()
        .into_iter()
        .zip(clients)
        .map(|((name, _), client)| {
            let handle = handle.clone();
            tokio::spawn(async move {
                match name {
                    UNREAD => {
                        let at = let_go(&handle).await;
                        drop(client);
                        at
                    }
                    _ => ended(client).await,
                }
            })
        });
    let ended: Vec<_> = ended.collect();
    let report = run.await.expect("no panic");
    let over = Instant::now();
    assert_eq!(report.unfinished_heads.len(), 1, "{report:?}");
    assert!(report.aborted.len() >= 6, "{report:?}");
    let mut took = Vec::new();
    for ended in ended {
        took.push(ended.await.expect("no panic"));
    }
    took.push(over);
    // What ends before it shows as less than nothing.
    let since = |at: Instant| match at.checked_duration_since(deadline) {
        Some(after) => after.as_secs_f64() * 1e3,
        None => (deadline - at).as_secs_f64() * -1e3,
    };
    took.into_iter().map(since).collect()
}

async fn begin(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut tcp = TcpStream::connect(address).await.expect("it listens");
    tcp.write_all(bytes).await.expect("sent");
    if bytes == HANDSHAKE.as_bytes() {
        let mut head = [0; 12];
        tcp.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 101");
    }
    tcp
}

/// When the connection has ended, one way or another.
async fn ended(mut tcp: TcpStream) -> Instant {
    let mut piece = [0; 4096];
    while tcp.read(&mut piece).await.is_ok_and(|read| read > 0) {}
    Instant::now()
}

/// When the server has let go of the answer that nobody reads.
async fn let_go(handle: &LifecycleHandle) -> Instant {
    let holds = || handle.status().connections;
    while holds().iter().any(|one| one.stage == Stage::Unsent) {
        sleep(Duration::from_millis(1)).await;
    }
    Instant::now()
}
