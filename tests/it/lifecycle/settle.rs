//! Ten thousand requests within one settle: all are served, whatever the protocol, and the
//! connections end when it is over.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tower_handoff::lifecycle::{LifecycleBuilder, Outcome, Phase, Report, ServerOutcome};

use super::common::{Client, quiet_builder, within};
use super::grpc_servers::{self, Grpc, check};
use super::instance::{Instance, SERVERS};

const REQUESTS: usize = 10_000;
/// Who send one request after the other.
const CLIENTS: usize = 32;
const CONNECTIONS: usize = 4;

const SETTLE: Duration = Duration::from_secs(20);

/// Within one settle, however long the machine needs for them: its clock stands still until all
/// are through. The time for that is bounded as well: then the clock goes on, and the test fails.
struct Settle {
    left: AtomicUsize,
    _clock: mpsc::Sender<()>,
}

impl Settle {
    fn new() -> Self {
        // tokio's clock does not go on by itself while a blocking task runs.
        let (clock, stands) = mpsc::channel();
        tokio::task::spawn_blocking(move || stands.recv_timeout(Duration::from_secs(120)));
        Self {
            left: AtomicUsize::new(REQUESTS),
            _clock: clock,
        }
    }

    /// Clients that ask one thing after the other, until all is asked.
    async fn served<F>(&self, clients: impl IntoIterator<Item = F>)
    where
        F: AsyncFnMut() -> Result<(), String>,
    {
        let left = &self.left;
        let one_less = || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        let clients = clients.into_iter().map(|mut ask| async move {
            while one_less().is_ok() {
                ask().await.unwrap();
            }
        });
        within("the clients", join_all(clients)).await;
        assert_eq!(left.load(SeqCst), 0);
    }

    async fn ends() {
        tokio::time::advance(SETTLE).await;
    }
}

fn builder() -> LifecycleBuilder {
    quiet_builder().grace(3 * SETTLE).settle(SETTLE)
}

/// The last of them: so many take their time where nothing is optimized. All by the long form.
fn some<T: Copy>(all: &[T]) -> Vec<T> {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => all.to_vec(),
        None => all[all.len() - 1..].to_vec(),
    }
}

fn all_were_served(report: &Report) {
    assert_eq!(
        (report.outcome, &report.server),
        (Outcome::Clean, &ServerOutcome::Done),
        "{report:?}"
    );
    let counts = (report.completed, report.rejected);
    assert_eq!(counts, (REQUESTS as u64, 0), "{report:?}");
}

/// On connections that were idle when it began, and on a new one for each request after that.
#[tokio::test(start_paused = true)]
async fn ten_thousand_over_http1_and_each_connection_is_told_to_close() {
    for server in SERVERS {
        let settle = Settle::new();
        let instance = Instance::start(server, builder()).await;
        let address = instance.address;
        let mut connections = Vec::new();
        for _ in 0..=CLIENTS {
            let mut client = Client::connect(address).await;
            assert!(client.get("/").await.0.starts_with("http/1.1 200"));
            connections.push(client.tcp);
        }
        let mut idle = connections.pop().unwrap();
        instance.handle.shutdown();
        let clients = connections.into_iter().map(|first| {
            let mut first = Some(first);
            async move || match first.take() {
                Some(tcp) => ask(tcp).await,
                None => ask(TcpStream::connect(address).await.unwrap()).await,
            }
        });
        settle.served(clients).await;
        assert_eq!(instance.handle.phase(), Phase::Settling);
        Settle::ends().await;
        // It asked nothing more, was told nothing, and is closed.
        assert_eq!(within("the end", idle.read(&mut [0])).await.unwrap(), 0);
        all_were_served(&instance.report().await);
        assert!(TcpStream::connect(address).await.is_err());
    }
}

/// One request, and an answer that is the last one of its connection.
async fn ask(mut tcp: TcpStream) -> Result<(), String> {
    let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    tcp.write_all(request).await.map_err(|e| e.to_string())?;
    let mut answer = String::new();
    let read = tcp.read_to_string(&mut answer).await;
    read.map_err(|e| e.to_string())?;
    let served = answer.starts_with("HTTP/1.1 200 ")
        && answer.contains("\r\nconnection: close\r\n")
        && answer.ends_with("\r\n\r\nhello");
    served.then_some(()).ok_or(answer)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_over_http2_and_goaway_afterwards() {
    for server in some(&SERVERS) {
        let settle = Settle::new();
        let instance = Instance::start(server, builder()).await;
        let uri = format!("http://{}/", instance.address);
        let (mut ends, mut connections) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            let tcp = TcpStream::connect(instance.address).await.unwrap();
            let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await;
            let (mut client, connection) = shaken.unwrap();
            ends.push(tokio::spawn(connection));
            ask_http2(&mut client, &uri).await.unwrap();
            connections.push(client);
        }
        instance.handle.shutdown();
        let clients = (0..CLIENTS).map(|client| {
            let mut client = connections[client % CONNECTIONS].clone();
            let uri = &uri;
            async move || ask_http2(&mut client, uri).await
        });
        settle.served(clients).await;
        assert_eq!(instance.handle.phase(), Phase::Settling);
        assert!(ends.iter().all(|end| !end.is_finished()), "too early");
        Settle::ends().await;
        for (end, mut client) in ends.into_iter().zip(connections) {
            within("GOAWAY", end).await.unwrap().unwrap();
            assert!(ask_http2(&mut client, &uri).await.is_err());
        }
        all_were_served(&instance.report().await);
    }
}

async fn ask_http2(client: &mut SendRequest<Empty<Bytes>>, uri: &str) -> Result<(), String> {
    let failed = |error: hyper::Error| format!("{error:?}");
    client.ready().await.map_err(failed)?;
    let get = Request::get(uri).body(Empty::new()).unwrap();
    let answer = client.send_request(get).await.map_err(failed)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(failed)?.to_bytes();
    let served = head.status == 200 && body == "hello";
    served.then_some(()).ok_or(format!("{head:?}"))
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_of_grpc_and_unavailable_afterwards() {
    for server in some(&Grpc::ALL) {
        let (_, health) = tonic_health::server::health_reporter();
        let settle = Settle::new();
        let instance = grpc_servers::start(server, builder(), health).await;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = grpc_servers::client(instance.address).await;
            check(&mut client, "").await.unwrap();
            connections.push(client);
        }
        instance.handle.shutdown();
        let clients = (0..CLIENTS).map(|client| {
            let mut client = connections[client % CONNECTIONS].clone();
            async move || {
                let answer = check(&mut client, "").await;
                answer.map(drop).map_err(|status| format!("{status:?}"))
            }
        });
        settle.served(clients).await;
        assert_eq!(instance.handle.phase(), Phase::Settling);
        Settle::ends().await;
        all_were_served(&instance.report().await);
        for client in &mut connections {
            let late = within("a call", check(client, "")).await.unwrap_err();
            assert_eq!(late.code(), Code::Unavailable, "{server:?} {late:?}");
        }
    }
}
