//! Zero in flight is a level on real servers: seen before, it ends nothing, and nobody who merely
//! holds a service or a handle stands in its way.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_handoff::lifecycle::{LifecycleHandle, Outcome, Phase, ServerOutcome};

use super::common::{Client, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS, Server};

const MINUTE: Duration = Duration::from_secs(60);

/// A request that is in flight until the rest of its body comes.
async fn upload(client: &mut Client) -> std::io::Result<()> {
    let head = b"POST /upload HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nab";
    client.tcp.write_all(head).await
}

/// The rest, and the answer; no text where there is none.
async fn finish(client: &mut Client) -> (String, Vec<u8>) {
    let _ = client.tcp.write_all(b"cd").await;
    within("the answer", client.answer()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_after_zero_was_seen_is_waited_for() {
    for server in SERVERS {
        let settle = Duration::from_secs(3);
        let instance = Instance::start(server, quiet_builder().grace(MINUTE).settle(settle)).await;
        let (handle, in_flight) = (instance.handle.clone(), instance.handle.in_flight());
        let mut first = Client::connect(instance.address).await;
        for _ in 0..100 {
            assert!(first.get("/").await.0.starts_with("http/1.1 200"));
            eventually("zero", async || in_flight.is_idle()).await;
        }
        handle.shutdown();
        within("zero", in_flight.idle()).await;
        let mut second = Client::connect(instance.address).await;
        upload(&mut first).await.unwrap();
        upload(&mut second).await.unwrap();
        eventually("two in flight", async || in_flight.count() == 2).await;
        handle.watch().reached(Phase::Draining).await;
        // One of them leaves; the other holds the instance as before.
        let (head, body) = finish(&mut first).await;
        assert!(head.starts_with("http/1.1 200"), "{head:?}");
        assert_eq!(body, b"4");
        eventually("one in flight", async || in_flight.count() == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!instance.run.is_finished());
        let (head, body) = finish(&mut second).await;
        assert!(head.starts_with("http/1.1 200"), "{head:?}");
        assert_eq!(body, b"4");
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.completed, report.rejected),
            (Outcome::Clean, 2, 0),
            "{server:?} {report:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_hold_the_handle_and_live_on_do_not_hold_the_drain() {
    for server in SERVERS {
        let lifecycle = quiet_builder().grace(MINUTE).build().unwrap();
        let handle = lifecycle.handle();
        let phase = async |State(handle): State<LifecycleHandle>| handle.phase().to_string();
        let app = Router::new()
            .route("/", get(phase))
            .layer(ServiceBuilder::new().layer(lifecycle.layer()))
            .with_state(handle.clone());
        let kept = (
            app.clone(),
            lifecycle.layer(),
            handle.watch(),
            handle.in_flight(),
            handle.stop_accepting(),
        );
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let instance = Instance::serve(server, lifecycle, tcp, app).await;
        // The tasks of their connections hold a service each, and live as long as the server.
        let mut idle = Vec::new();
        for _ in 0..5 {
            let mut client = Client::connect(instance.address).await;
            assert_eq!(client.get("/").await.1, b"ready");
            idle.push(client);
        }
        handle.shutdown();
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, &report.server),
            (Outcome::Clean, &ServerOutcome::Done),
            "{server:?} {report:?}"
        );
        assert!(report.took < MINUTE / 2, "{report:?}");
        drop((kept, idle));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_when_the_last_one_leaves_is_answered_before_the_run_ends() {
    for server in SERVERS {
        let mut reset = 0;
        for batch in 0..10 {
            let rounds = (0..10).map(|round| one_leaves_and_one_comes(server, batch * 10 + round));
            reset += join_all(rounds).await.into_iter().sum::<u64>();
        }
        // The kernel's moment is that short.
        assert!(reset <= 5, "{server:?}: {reset} of a hundred are reset");
    }
}

/// Returns how many were reset.
async fn one_leaves_and_one_comes(server: Server, round: u64) -> u64 {
    let instance = Instance::start(server, quiet_builder().grace(MINUTE)).await;
    let (address, handle) = (instance.address, instance.handle.clone());
    let mut last = Client::connect(address).await;
    upload(&mut last).await.unwrap();
    let in_flight = handle.in_flight();
    eventually("one in flight", async || in_flight.count() == 1).await;
    handle.shutdown();
    let pause = |part: u64| tokio::time::sleep(Duration::from_micros(part * 100));
    let leaves = async {
        pause(round % 7).await;
        let (head, _) = finish(&mut last).await;
        assert!(head.starts_with("http/1.1 200"), "{head:?}");
    };
    let comes = async {
        pause(round % 10).await;
        let Ok(tcp) = tokio::net::TcpStream::connect(address).await else {
            return (0, 0); // refused: it goes elsewhere
        };
        let mut client = Client { tcp };
        upload(&mut client).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (head, _) = finish(&mut client).await;
        if head.is_empty() {
            // Taken in by the kernel between the last look at its queue and the end of the socket: the
            // report below knows nothing of it.
            return (0, 1);
        }
        let answered = head.starts_with("http/1.1 200") || head.starts_with("http/1.1 503");
        assert!(answered, "{server:?}, round {round}: {head:?}");
        (1, 0)
    };
    let ((), (came, reset)) = tokio::join!(leaves, comes);
    let report = instance.report().await;
    assert_eq!(
        (report.outcome, report.completed + report.rejected),
        (Outcome::Clean, 1 + came),
        "{server:?}, round {round}: {report:?}"
    );
    let status = handle.status();
    assert_eq!((status.in_flight, status.connections.len()), (0, 0));
    reset
}
