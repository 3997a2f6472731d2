//! WebSockets and half-sent requests on real processes.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::SERVERS;
use crate::support::eventually::eventually;
use crate::support::testbed::Testbed;
use crate::support::websocket::{Frame, WebSocket};

#[tokio::test]
async fn a_websocket_is_counted_told_and_waited_for() {
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "20000")]).await;
        let mut socket = WebSocket::open(testbed.addr(), "/ws").await;
        socket.text("hello").await;
        assert_eq!(socket.frame().await, Frame::Text("hello".into()));
        let status = testbed.client().get("/status").await.json();
        assert_eq!(
            (&status["upgraded"], &status["in_flight"]),
            (&1.into(), &0.into())
        );
        testbed.signal("TERM");
        assert_eq!(socket.frame().await, Frame::Close(1001));
        socket.close(1001).await;
        assert_eq!(socket.frame().await, Frame::End);
        let exit = testbed.exit().await;
        assert_eq!(exit.code, 0, "{exit:?}");
        let report = exit.report();
        assert_eq!(
            (&report["upgraded"], &report["outcome"]),
            (&1.into(), &"clean".into())
        );
    }
}

#[tokio::test]
async fn a_silent_socket_and_half_a_head_are_cut_off_and_named() {
    for server in SERVERS {
        let testbed = Testbed::start(&[("SERVER", server), ("GRACE_MS", "2000")]).await;
        // It never answers the close frame.
        let _socket = WebSocket::open(testbed.addr(), "/ws").await;
        let mut half = TcpStream::connect(testbed.addr())
            .await
            .expect("it listens");
        half.write_all(b"GET /sleep/1 HTTP/1.1\r\n")
            .await
            .expect("a buffer");
        let mut client = testbed.client();
        eventually("both are listed", async || {
            let status = client.get("/status").await.json();
            status["connections"]
                .as_array()
                .is_some_and(|list| list.len() == 2)
        })
        .await;
        testbed.signal("TERM");
        let exit = testbed.exit().await;
        assert_eq!(exit.code, 1, "{exit:?}");
        let report = exit.report();
        assert_eq!(report["outcome"], "forced", "{report}");
        for (list, stage) in [("aborted", "upgraded"), ("unfinished_heads", "head")] {
            let list = report[list].as_array().expect("a list");
            assert_eq!(list.len(), 1, "{report}");
            let one = &list[0];
            assert_eq!(one["stage"], stage, "{report}");
            for unknown in ["method", "route", "path"] {
                assert!(one[unknown].is_null(), "{report}");
            }
            assert!(
                one["age_ms"].is_u64() && one["peer"].is_string(),
                "{report}"
            );
        }
        let own = half.local_addr().expect("connected").to_string();
        assert_eq!(report["unfinished_heads"][0]["peer"], own, "{report}");
    }
}
