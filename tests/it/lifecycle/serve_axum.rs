//! An unmodified `axum::serve` through a whole shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower::ServiceBuilder;
use tower_handoff::lifecycle::{
    LifecycleBuilder, LifecycleHandle, Outcome, Phase, Report, ServerOutcome,
};

use super::common::{Client, eventually, quiet_builder, within};

const LARGE: usize = 8 << 20;

struct Instance {
    address: SocketAddr,
    handle: LifecycleHandle,
    run: JoinHandle<Report>,
}

async fn start(builder: LifecycleBuilder) -> Instance {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = builder.build().unwrap();
    let handle = lifecycle.handle();
    let sleeping = |axum::extract::Path(ms): axum::extract::Path<u64>| async move {
        sleep(Duration::from_millis(ms)).await;
        "slept"
    };
    let app = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/sleep/{ms}", get(sleeping))
        .route("/large", get(|| async { vec![b'x'; LARGE] }))
        .route(
            "/peer",
            get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
        )
        .layer(ServiceBuilder::new().layer(lifecycle.layer()))
        .merge(lifecycle.probes());
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(lifecycle.listener(tcp), app)
        .with_graceful_shutdown(lifecycle.stop_accepting());
    let run = tokio::spawn(lifecycle.run(server));
    handle.watch().reached(Phase::Ready).await;
    Instance {
        address,
        handle,
        run,
    }
}

impl Instance {
    async fn report(self) -> Report {
        within("the run", self.run).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_at_the_signal_is_answered_whole() {
    let instance = start(quiet_builder()).await;
    let mut client = Client::connect(instance.address).await;
    client.send("/sleep/3000").await;
    let in_flight = instance.handle.in_flight();
    eventually("one in flight", async || in_flight.count() == 1).await;
    assert_eq!(
        in_flight.requests()[0].route.as_deref(),
        Some("/sleep/{ms}")
    );
    instance.handle.shutdown();

    let (head, body) = within("the answer", client.answer()).await;
    assert!(
        head.starts_with("http/1.1 200") && head.contains("connection: close"),
        "{head}"
    );
    assert_eq!(body, b"slept");
    let report = instance.report().await;
    assert_eq!(
        (report.outcome, report.server.clone()),
        (Outcome::Clean, ServerOutcome::Done)
    );
    assert_eq!(
        (
            report.in_flight_at_signal,
            report.completed,
            report.rejected
        ),
        (1, 1, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_taken_in_slowly_is_whole_before_the_run_ends() {
    let instance = start(quiet_builder()).await;
    let mut client = Client::connect(instance.address).await;
    client.send("/large").await;
    // The first bytes are here; most of the rest waits in the server's buffer.
    client.tcp.readable().await.unwrap();
    instance.handle.shutdown();
    let (read, report) = tokio::join!(
        async {
            let mut whole = Vec::new();
            let mut piece = vec![0; 256 * 1024];
            loop {
                match client.tcp.read(&mut piece).await.unwrap() {
                    0 => return whole,
                    n => whole.extend_from_slice(&piece[..n]),
                }
                sleep(Duration::from_millis(5)).await;
            }
        },
        instance.report()
    );
    let body = read.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(read.len() - body, LARGE);
    assert_eq!(report.server, ServerOutcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_served_during_the_settle_and_told_to_close() {
    let instance = start(
        quiet_builder()
            .grace(Duration::from_secs(60))
            .settle(Duration::from_secs(4)),
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(instance.address).await;
        let (head, _) = client.get("/").await;
        assert!(
            head.starts_with("http/1.1 200") && !head.contains("connection"),
            "{head}"
        );
        clients.push(client);
    }
    instance.handle.shutdown();
    for client in &mut clients {
        let (head, body) = within("the answer", client.get("/")).await;
        assert!(
            head.starts_with("http/1.1 200") && head.contains("connection: close"),
            "{head}"
        );
        assert_eq!(body, b"hello");
        assert_eq!(
            client.tcp.read(&mut [0]).await.unwrap(),
            0,
            "closed after its answer"
        );
    }
    // New connections as well.
    let mut late = Client::connect(instance.address).await;
    assert!(late.get("/").await.0.starts_with("http/1.1 200"));
    let report = instance.report().await;
    assert_eq!((report.completed, report.rejected), (21, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_stays_while_draining_and_gets_503_and_close() {
    let instance = start(quiet_builder()).await;
    let mut idle = Client::connect(instance.address).await;
    assert!(idle.get("/").await.0.starts_with("http/1.1 200"));
    let mut probing = Client::connect(instance.address).await;
    assert!(probing.get("/ready").await.0.starts_with("http/1.1 200"));
    let held = instance.handle.in_flight().token();
    instance.handle.shutdown();
    instance.handle.watch().reached(Phase::Draining).await;

    let (head, body) = within("the answer", idle.get("/")).await;
    assert!(
        head.starts_with("http/1.1 503") && head.contains("connection: close"),
        "{head}"
    );
    assert!(head.contains("retry-after: "), "{head}");
    assert!(String::from_utf8(body).unwrap().contains("draining"));
    // Probes are outside: not turned away, on the same socket.
    assert!(probing.get("/ready").await.0.starts_with("http/1.1 503"));
    assert!(probing.get("/health").await.0.starts_with("http/1.1 200"));
    let address = instance.address;
    eventually("the socket is closed", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    drop(held);
    let report = instance.report().await;
    assert_eq!((report.completed, report.rejected), (1, 1));
    assert_eq!(report.outcome, Outcome::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_hold_the_drain() {
    let instance = start(quiet_builder().grace(Duration::from_secs(60))).await;
    let _silent = Client::connect(instance.address).await;
    let mut idle = Client::connect(instance.address).await;
    idle.get("/").await;
    instance.handle.shutdown();
    let report = instance.report().await;
    assert_eq!(report.outcome, Outcome::Clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_outlives_the_grace_is_named() {
    let grace = Duration::from_millis(800);
    let instance = start(quiet_builder().grace(grace).report_paths(true)).await;
    let mut client = Client::connect(instance.address).await;
    client.send("/sleep/60000?secret=1").await;
    let in_flight = instance.handle.in_flight();
    eventually("one in flight", async || in_flight.count() == 1).await;
    instance.handle.shutdown();
    let report = instance.report().await;
    assert_eq!((report.outcome, report.exit_status()), (Outcome::Forced, 1));
    let aborted = &report.aborted[0];
    assert_eq!(aborted.route.as_deref(), Some("/sleep/{ms}"));
    assert_eq!(aborted.path.as_deref(), Some("/sleep/60000"));
    assert_eq!((report.aborted.len(), report.completed), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_gets_503_while_draining_and_goaway_at_the_end() {
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let instance = start(quiet_builder()).await;
    let tcp = TokioIo::new(TcpStream::connect(instance.address).await.unwrap());
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp).await;
    let (mut client, connection) = shaken.unwrap();
    let connection = tokio::spawn(connection);
    let get = || {
        let uri = format!("http://{}/", instance.address);
        http::Request::get(uri)
            .body(Empty::<bytes::Bytes>::new())
            .unwrap()
    };
    let held = instance.handle.in_flight().token();
    assert_eq!(client.send_request(get()).await.unwrap().status(), 200);
    instance.handle.shutdown();
    instance.handle.watch().reached(Phase::Draining).await;
    let answer = client.send_request(get()).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().get("connection").is_none());
    answer.into_body().collect().await.unwrap();
    assert!(!connection.is_finished());
    drop(held);
    within("GOAWAY", connection).await.unwrap().unwrap();
    let report = instance.report().await;
    assert_eq!((report.outcome, report.rejected), (Outcome::Clean, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_peer_is_known_through_the_listener() {
    let instance = start(quiet_builder()).await;
    let mut client = Client::connect(instance.address).await;
    let (_, body) = client.get("/peer").await;
    let own = client.tcp.local_addr().unwrap().to_string();
    assert_eq!(String::from_utf8(body).unwrap(), own);
    instance.handle.shutdown();
    instance.report().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_on_a_socket_of_their_own_answer_while_hooks_run() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let (go, gone) = oneshot::channel::<()>();
    let second = Duration::from_secs(30);
    let lifecycle = quiet_builder()
        .grace(Duration::from_secs(90))
        .on_shutdown("waits", second, move || async move { Ok(gone.await?) })
        .build()
        .unwrap();
    let handle = lifecycle.handle();
    let probes = lifecycle.serve_probes(tcp);
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.shutdown();
    handle.watch().reached(Phase::Stopping).await;

    let mut client = Client::connect(address).await;
    assert!(client.get("/health").await.0.starts_with("http/1.1 200"));
    let (head, body) = client.get("/ready").await;
    assert!(head.starts_with("http/1.1 503"));
    assert!(
        String::from_utf8(body)
            .unwrap()
            .contains(r#""phase":"stopping""#)
    );
    assert!(client.get("/").await.0.starts_with("http/1.1 404"));
    go.send(()).unwrap();
    within("the run", run).await.unwrap();
    within("the probes", probes).await.unwrap().unwrap();
}
