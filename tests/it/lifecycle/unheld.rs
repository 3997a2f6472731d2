//! Connections that hold no drain: idle ones, those that are gone, those that ask for nothing.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tower_handoff::lifecycle::{Outcome, ServerOutcome, Stage};

use super::common::{Client, eventually, quiet_builder, within};
use super::hanging::{ended, sent, shows, stages_of};
use super::instance::{Instance, SERVERS};
use super::piped::PREFACE;
use crate::support::websocket::WebSocket;

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_do_not_hold_the_drain() {
    for server in SERVERS {
        // So long that only a drain that does not wait ends in time.
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(3600))).await;
        let _silent = Client::connect(instance.address).await;
        let mut idle = Client::connect(instance.address).await;
        idle.get("/").await;
        let mut large = Client::connect(instance.address).await;
        large.get("/large").await;
        // A body in the same packet, one that comes later, one that nobody reads.
        let mut clients = Vec::new();
        for (path, answer) in [("/upload", "4"), ("/unread", "early")] {
            for apart in [false, true] {
                let mut client = Client::connect(instance.address).await;
                let mut request =
                    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n");
                let rest = if apart {
                    "BODY"
                } else {
                    request += "BODY";
                    ""
                };
                client.tcp.write_all(request.as_bytes()).await.unwrap();
                if apart && path == "/upload" {
                    shows(&instance, Stage::Handler).await;
                }
                let early = apart && path == "/unread";
                if !early {
                    client.tcp.write_all(rest.as_bytes()).await.unwrap();
                }
                let (_, body) = within("the answer", client.answer()).await;
                assert_eq!(body, answer.as_bytes());
                if early {
                    // The connection may have been closed over it.
                    let _ = client.tcp.write_all(rest.as_bytes()).await;
                }
                clients.push(client);
            }
        }
        assert_eq!(stages_of(&instance.handle), []);
        instance.handle.shutdown();
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.server),
            (Outcome::Clean, ServerOutcome::Done)
        );
        assert_eq!(report.upgraded, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_goes_away_leaves_nothing_behind() {
    for server in SERVERS {
        let instance =
            Instance::start(server, quiet_builder().grace(Duration::from_secs(3600))).await;
        let head = sent(instance.address, &[b"GET / HT"]).await;
        let mut unread = Client::connect(instance.address).await;
        unread.send("/large").await;
        let socket = WebSocket::open(instance.address, "/deaf").await;
        for stage in [Stage::Head, Stage::Unsent, Stage::Upgraded] {
            shows(&instance, stage).await;
        }
        drop((head, unread, socket));
        let handle = instance.handle.clone();
        eventually("nothing is listed", async || stages_of(&handle).is_empty()).await;
        handle.shutdown();
        assert_eq!(instance.report().await.outcome, Outcome::Clean);
    }
}

/// What the server makes of it is its affair; the drain comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_do_not_hold_the_drain() {
    let grace = Duration::from_secs(3600);
    for server in SERVERS {
        let instance = Instance::start(server, quiet_builder().grace(grace)).await;
        let address = instance.address;
        let mut refused = Vec::new();
        for bytes in [
            &b"\r\n\r\n\0"[..],
            b"NO SUCH\r\n\r\n",
            &[0x16, 3, 1, 0, 5, b'\n'],
        ] {
            refused.push(sent(address, &[bytes]).await);
        }
        let _half_a_preface = sent(address, &[&PREFACE[..11]]).await;
        // A request like any other, though it begins as HTTP/2 does.
        let mut odd = Client::connect(address).await;
        odd.tcp
            .write_all(b"PRI /x HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        assert!(odd.answer().await.0.starts_with("http/1.1 404"));
        for tcp in &mut refused {
            ended(tcp).await;
        }
        assert_eq!(stages_of(&instance.handle), [Stage::Head]);
        instance.handle.shutdown();
        let report = instance.report().await;
        assert_eq!(report.outcome, Outcome::Clean, "{server:?} {report:?}");
    }
}
