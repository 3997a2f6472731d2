//! A client that is told 503 in the middle of its upload hears it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tower_handoff::lifecycle::{Outcome, Phase};

use super::common::{Client, quiet_builder, within};
use super::instance::{Instance, SERVERS};

const UPLOAD: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_to_a_draining_instance_gets_its_503() {
    for server in SERVERS {
        let builder = quiet_builder().grace(Duration::from_secs(90));
        let instance = Instance::start(server, builder).await;
        let held = instance.handle.in_flight().token();
        let mut clients = Vec::new();
        for _ in 0..8 {
            let mut client = Client::connect(instance.address).await;
            assert!(client.get("/").await.0.starts_with("http/1.1 200"));
            clients.push(client);
        }
        instance.handle.shutdown();
        instance.handle.watch().reached(Phase::Draining).await;
        for client in clients {
            let (mut reader, mut writer) = split(client.tcp);
            let head =
                format!("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {UPLOAD}\r\n\r\n");
            let upload = async {
                writer.write_all(head.as_bytes()).await?;
                writer.write_all(&vec![b'x'; UPLOAD]).await?;
                writer.shutdown().await
            };
            // As many clients do: all is sent before the answer is read.
            let sent = within("the upload", upload).await;
            let mut answer = String::new();
            let read = within("the answer", reader.read_to_string(&mut answer)).await;
            assert!(sent.is_ok() && read.is_ok(), "{sent:?} {read:?} {answer:?}");
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer:?}");
        }
        drop(held);
        let report = instance.report().await;
        assert_eq!((report.outcome, report.rejected), (Outcome::Clean, 8));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_stops_sending_is_left_in_the_end() {
    for server in SERVERS {
        // Two seconds of drain, fewer than such a client may have otherwise.
        let [grace, hooks] = [20, 17].map(Duration::from_secs);
        let builder = quiet_builder().grace(grace).hook_time(hooks);
        let instance = Instance::start(server, builder).await;
        let held = instance.handle.in_flight().token();
        let mut client = Client::connect(instance.address).await;
        client.get("/").await;
        instance.handle.shutdown();
        instance.handle.watch().reached(Phase::Draining).await;
        let head = b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n";
        client.tcp.write_all(head).await.unwrap();
        let (head, _) = within("the answer", client.answer()).await;
        assert!(head.starts_with("http/1.1 503"), "{head}");
        let endless = tokio::spawn(async move {
            let piece = vec![b'x'; 64 * 1024];
            while client.tcp.write_all(&piece).await.is_ok() {}
        });
        drop(held);
        // It has its answer, so nothing was cut off.
        let report = instance.report().await;
        assert_eq!((report.outcome, report.rejected), (Outcome::Clean, 1));
        assert_eq!(report.aborted, []);
        within("the client's error", endless).await.unwrap();
    }
}
