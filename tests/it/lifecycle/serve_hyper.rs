//! The same shutdown on hyper-util, with an accept loop of the user's own.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tower::{ServiceBuilder, service_fn};
use tower_handoff::lifecycle::{
    Lifecycle, LifecycleBuilder, LifecycleHandle, Outcome, Phase, Report,
};

use super::common::{Client, eventually, quiet_builder, within};

async fn start(builder: LifecycleBuilder) -> (SocketAddr, LifecycleHandle, JoinHandle<Report>) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = builder.build().unwrap();
    let handle = lifecycle.handle();
    let server = serve(&lifecycle, tcp);
    let run = tokio::spawn(lifecycle.run(server));
    handle.watch().reached(Phase::Ready).await;
    (address, handle, run)
}

fn serve(lifecycle: &Lifecycle, tcp: TcpListener) -> impl Future<Output = ()> + Send + use<> {
    let app = ServiceBuilder::new()
        .layer(lifecycle.layer())
        .service(service_fn(answer));
    let mut listener = lifecycle.tcp_listener(tcp);
    async move {
        let (open, mut closed) = mpsc::channel::<()>(1);
        while let Some((stream, _peer)) = listener.accept().await {
            let (goodbye, open) = (stream.goodbye(), open.clone());
            let service = TowerToHyperService::new(app.clone());
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let connection =
                    builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
                let mut connection = pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = goodbye => {
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
                drop(open);
            });
        }
        drop(open);
        let _ = closed.recv().await; // none when every connection has ended
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/slow" {
        // Long enough to be seen under way.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    Ok(Response::new(Full::new(Bytes::from("hello"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_is_served_to_the_end_and_idle_connections_stay_for_their_503() {
    let (address, handle, run) = start(quiet_builder()).await;
    let mut idle = Client::connect(address).await;
    assert!(idle.get("/").await.0.starts_with("http/1.1 200"));
    let mut slow = Client::connect(address).await;
    slow.send("/slow").await;
    let in_flight = handle.in_flight();
    eventually("one in flight", async || in_flight.count() == 1).await;
    let held = in_flight.token();
    handle.shutdown();
    handle.watch().reached(Phase::Draining).await;
    let (head, _) = within("the straggler", idle.get("/")).await;
    assert!(
        head.starts_with("http/1.1 503") && head.contains("connection: close"),
        "{head:?}"
    );
    let (head, body) = within("the slow one", slow.answer()).await;
    assert!(
        head.starts_with("http/1.1 200") && head.contains("connection: close"),
        "{head:?}"
    );
    assert_eq!(body, b"hello");
    drop(held);
    let report = within("the run", run).await.unwrap();
    assert_eq!(
        (report.outcome, report.completed, report.rejected),
        (Outcome::Clean, 2, 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_gets_goaway_at_the_settles_end_and_its_streams_end() {
    let (address, handle, run) = start(quiet_builder()).await;
    let tcp = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let get = |path: &str| {
        let uri = format!("http://{address}{path}");
        Request::get(uri).body(Empty::<Bytes>::new()).unwrap()
    };
    let first = client.send_request(get("/")).await.unwrap();
    assert!(first.headers().get("connection").is_none());
    first.into_body().collect().await.unwrap();

    // Holds the drain open, so that only GOAWAY can end the connection.
    let held = handle.in_flight().token();
    let slow = tokio::spawn(client.send_request(get("/slow")));
    let in_flight = handle.in_flight();
    eventually("two in flight", async || in_flight.count() == 2).await;
    handle.shutdown();
    let answer = within("the stream", slow).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("connection").is_none());
    answer.into_body().collect().await.unwrap();
    within("GOAWAY", connection).await.unwrap().unwrap();
    within("the drain", handle.watch().reached(Phase::Draining)).await;
    assert_eq!(handle.phase(), Phase::Draining);
    assert!(client.send_request(get("/")).await.is_err());
    drop(held);
    let report = within("the run", run).await.unwrap();
    assert_eq!((report.outcome, report.completed), (Outcome::Clean, 2));
}

/// How long the gate stays open, at most, for those who have not heard of GOAWAY.
const INTAKE_WAIT: Duration = Duration::from_millis(500);

/// What a client sends before it has heard of GOAWAY is served, on as many connections as there are. Fewer
/// of them where this machine does not come to them all in the time that there is for that: whether it
/// did is told by the drain, which begins sooner.
#[tokio::test(flavor = "multi_thread")]
async fn http2_under_load_has_only_answers_until_goaway_and_never_a_503() {
    for clients in [8, 8, 4, 4, 2, 2, 1, 1] {
        let (taken_in, rejected) = goes_away_under_load(clients).await;
        if taken_in < INTAKE_WAIT {
            assert_eq!(rejected, 0, "{clients} clients, {taken_in:?}");
            return;
        }
    }
    panic!("the gate waits for nobody as long as that");
}

/// How long it took until draining began, and how many were turned away.
async fn goes_away_under_load(many: u32) -> (Duration, u64) {
    let (address, handle, run) = start(quiet_builder().grace(Duration::from_secs(60))).await;
    let (mut clients, answers) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
    for _ in 0..many {
        clients.spawn(ask_over_http2_until_refused(address, answers.clone()));
    }
    eventually("all are at it", async || answers.load(SeqCst) > 40 * many).await;
    let begun = Instant::now();
    handle.shutdown();
    handle.watch().reached(Phase::Draining).await;
    let taken_in = begun.elapsed();
    let mut connections = 0;
    while let Some(client) = within("a client", clients.join_next()).await {
        connections += client.unwrap();
    }
    assert!(connections >= many);
    let report = within("the run", run).await.unwrap();
    assert_eq!(report.outcome, Outcome::Clean);
    assert!(report.completed > 0);
    (taken_in, report.rejected)
}

/// Four requests at a time on one connection until GOAWAY, then on the next, while it gets one; how
/// many it had.
async fn ask_over_http2_until_refused(address: SocketAddr, answers: Arc<AtomicU32>) -> u32 {
    let mut connections = 0;
    while let Ok(tcp) = TcpStream::connect(address).await {
        let shaken =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await;
        let Ok((client, connection)) = shaken else {
            continue;
        };
        connections += 1;
        let connection = tokio::spawn(connection);
        let asking = (0..4).map(|_| {
            let (mut client, answers) = (client.clone(), answers.clone());
            async move {
                let get = || {
                    let uri = format!("http://{address}/");
                    Request::get(uri).body(Empty::<Bytes>::new()).unwrap()
                };
                while let Ok(answer) = client.send_request(get()).await {
                    // The report counts those that were turned away.
                    assert!([200, 503].contains(&answer.status().as_u16()));
                    answer.into_body().collect().await.unwrap();
                    answers.fetch_add(1, SeqCst);
                }
            }
        });
        join_all(asking).await;
        drop(client);
        let _ = connection.await;
    }
    connections
}

#[tokio::test]
async fn accept_ends_when_the_queue_is_empty_and_the_socket_closed() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let mut listener = lifecycle.tcp_listener(tcp);
    assert_eq!(listener.local_addr(), address);
    let mut queued = Vec::new();
    for _ in 0..5 {
        queued.push(TcpStream::connect(address).await.unwrap());
    }
    handle.shutdown();
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Draining).await;
    let mut taken = Vec::new();
    while let Some((stream, peer)) = within("accept", listener.accept()).await {
        if taken.is_empty() {
            // Not at once: a process that another test is just starting holds a copy for a moment.
            let refused = async || TcpStream::connect(address).await.is_err();
            eventually("the socket is closed", refused).await;
        }
        assert_eq!(stream.tcp().peer_addr().unwrap(), peer);
        taken.push(peer);
    }
    let clients: Vec<_> = queued
        .iter()
        .map(|client| client.local_addr().unwrap())
        .collect();
    assert_eq!(taken, clients);
    assert!(listener.accept().await.is_none());
    assert_eq!(listener.local_addr(), address);
    within("the run", run).await.unwrap();
}

/// The accept loop runs on a thread that is kept busy until the settle is over, or nearly so: whoever
/// waits in its queue is taken in with what is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn clients_in_the_accept_queue_are_answered() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = quiet_builder().grace(Duration::from_secs(60)).build();
    let lifecycle = lifecycle.unwrap();
    let handle = lifecycle.handle();
    let server = serve(&lifecycle, tcp);
    let (block, blocked) = std::sync::mpsc::channel::<()>();
    let (ends, ended) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        blocked.recv().unwrap();
        runtime.block_on(server);
        drop(ends);
    });
    let run = tokio::spawn(lifecycle.run(async { drop(ended.await) }));
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = Client::connect(address).await;
        client.send("/").await;
        clients.push(client);
    }
    handle.shutdown();
    // Where it is less, or more than the gate waits, this shows less, and holds all the same.
    tokio::time::sleep(INTAKE_WAIT / 5).await;
    block.send(()).unwrap();
    let answers = join_all(clients.iter_mut().map(Client::answer));
    for (head, body) in within("the answers", answers).await {
        // Taken in, and served or told to go elsewhere: not reset.
        let served = head.starts_with("http/1.1 200") && body == b"hello";
        assert!(served || head.starts_with("http/1.1 503"), "{head:?}");
        assert!(head.contains("connection: close"), "{head:?}");
    }
    let report = within("the run", run).await.unwrap();
    thread.join().unwrap();
    assert_eq!(report.outcome, Outcome::Clean);
    assert_eq!(report.completed + report.rejected, 40);
}
