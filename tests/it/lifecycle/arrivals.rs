//! Requests that arrive at an awkward moment, on both servers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tower::{Layer, service_fn};
use tower_handoff::lifecycle::{Outcome, ServerOutcome};

use super::common::{Client, eventually, hello, quiet_builder, within};
use super::instance::{Instance, LARGE, SERVERS, Server};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn none_is_lost_on_idle_connections_though_they_ask_right_after_the_signal() {
    for server in SERVERS {
        let settle = Duration::from_secs(2);
        let instance = Instance::start(server, quiet_builder().grace(MINUTE).settle(settle)).await;
        let mut clients = Vec::new();
        for _ in 0..50 {
            let mut client = Client::connect(instance.address).await;
            assert!(client.get("/").await.0.starts_with("http/1.1 200"));
            clients.push(client);
        }
        instance.handle.shutdown();
        for client in &mut clients {
            client.send("/").await;
        }
        for client in &mut clients {
            let (head, body) = within("the answer", client.answer()).await;
            assert!(
                head.starts_with("http/1.1 200") && head.contains("connection: close"),
                "{head:?}"
            );
            assert_eq!(body, b"hello");
            assert_eq!(client.tcp.read(&mut [0]).await.unwrap(), 0);
        }
        let report = instance.report().await;
        assert_eq!((report.completed, report.rejected), (50, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_that_asks_when_the_socket_is_closed_is_answered() {
    for server in SERVERS {
        // The instance waits for it half a second, in which a busy machine may not come so far.
        let mut tries = 0;
        while !asks_when_the_socket_is_closed(server).await {
            tries += 1;
            assert!(tries < 10, "{server:?}");
        }
    }
}

/// Whether it was served and not turned away.
async fn asks_when_the_socket_is_closed(server: Server) -> bool {
    let instance = Instance::start(server, quiet_builder().grace(MINUTE)).await;
    let mut fresh = Client::connect(instance.address).await;
    instance.handle.shutdown();
    let refused = async || TcpStream::connect(instance.address).await.is_err();
    eventually("the socket is closed", refused).await;
    let (head, _) = within("the answer", fresh.get("/")).await;
    let report = instance.report().await;
    let served = head.starts_with("http/1.1 200");
    assert_eq!(report.rejected, u64::from(!served), "{head:?}");
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_answer_that_nobody_reads_yet_is_waited_for() {
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder().grace(MINUTE)).await;
        let tcp = TokioIo::new(TcpStream::connect(instance.address).await.unwrap());
        let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp).await;
        let (mut client, connection) = shaken.unwrap();
        let connection = tokio::spawn(connection);
        let uri = format!("http://{}/large", instance.address);
        let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let answer = client.send_request(request).await.unwrap();
        // For the layers it is over; the peer's window lets through a small part of it.
        let in_flight = instance.handle.in_flight();
        eventually("the body is with the server", async || in_flight.is_idle()).await;
        instance.handle.shutdown();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!instance.run.is_finished());
        let body = within("the body", answer.into_body().collect())
            .await
            .unwrap();
        assert_eq!(body.to_bytes().len(), LARGE);
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.server),
            (Outcome::Clean, ServerOutcome::Done)
        );
        within("GOAWAY", connection).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_lives_on_does_not_hold_the_drain() {
    let lifecycle = quiet_builder().build().unwrap();
    let service = lifecycle.layer().layer(service_fn(hello));
    let (handle, kept) = (lifecycle.handle(), (service.clone(), service));
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(
        (report.outcome, report.took),
        (Outcome::Clean, Duration::ZERO)
    );
    drop(kept);
}

/// The server runs on a thread that is kept busy, so that nobody takes the connections in.
#[test]
fn clients_in_the_accept_queue_are_answered() {
    for server in SERVERS {
        let (started, receive_started) = oneshot::channel();
        let (block, blocked) = std::sync::mpsc::channel::<()>();
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let instance = Instance::start(server, quiet_builder()).await;
                let _ = started.send((instance.address, instance.handle.clone()));
                // Blocks the only thread until the clients are queued and the shutdown was asked for.
                blocked.recv().unwrap();
                instance.report().await
            })
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let answers = runtime.block_on(async {
            let (address, handle) = receive_started.await.unwrap();
            let mut clients = Vec::new();
            for _ in 0..40 {
                let mut client = Client::connect(address).await;
                client.send("/").await;
                clients.push(client);
            }
            handle.shutdown();
            block.send(()).unwrap();
            let answers = join_all(clients.iter_mut().map(Client::answer));
            within("the answers", answers).await
        });
        for (head, _) in answers {
            // Taken in, and told to go elsewhere: not reset.
            let served = head.starts_with("http/1.1 503") || head.starts_with("http/1.1 200");
            assert!(
                served && head.contains("connection: close"),
                "{server:?} {head:?}"
            );
        }
        let report = serving.join().unwrap();
        assert_eq!(report.outcome, Outcome::Clean);
        assert_eq!(report.completed + report.rejected, 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_whose_request_comes_right_after_the_signal_is_answered() {
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder()).await;
        let mut fresh = Client::connect(instance.address).await;
        instance.handle.shutdown();
        let refused = async || TcpStream::connect(instance.address).await.is_err();
        eventually("the socket is closed", refused).await;
        let (head, _) = within("the answer", fresh.get("/")).await;
        assert!(
            head.starts_with("http/1.1 200") && head.contains("connection: close"),
            "{server:?} {head:?}"
        );
        assert_eq!(instance.report().await.rejected, 0);
    }
}
