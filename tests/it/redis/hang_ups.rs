//! The other end hangs up: at once, with a reply still on its way, or while the handle closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tower_handoff::redis::{RedisErrorKind, RedisHandle, RedisStatus};

use super::gathering::reads;
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_server::{RedisServer, free_port};

/// A way to `target` that closes after it has passed on a reply that holds `marker`.
async fn hang_up_after(target: u16, marker: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((inbound, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(carry(inbound, target, marker));
        }
    });
    (format!("redis://127.0.0.1:{port}"), accepted)
}

async fn carry(inbound: TcpStream, target: u16, marker: &[u8]) -> Option<()> {
    let outbound = TcpStream::connect(("127.0.0.1", target)).await.ok()?;
    let (mut requests, mut client) = inbound.into_split();
    let (mut replies, mut server) = outbound.into_split();
    let asking = async move { tokio::io::copy(&mut requests, &mut server).await.ok() };
    let answering = async {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let length = replies.read(&mut bytes).await.ok().filter(|n| *n > 0)?;
            client.write_all(&bytes[..length]).await.ok()?;
            if bytes[..length]
                .windows(marker.len())
                .any(|part| part == marker)
            {
                return Some(());
            }
        }
    };
    tokio::select! {
        _ = asking => None,
        done = answering => done,
    }
}

#[tokio::test]
async fn a_reply_that_came_before_the_end_is_handed_out() {
    let server = RedisServer::start();
    let (url, _) = hang_up_after(server.port(), b"goodbye").await;
    let handle = RedisHandle::connect(&url).expect("a good url");
    handle.ping().await.expect("it is up");
    let mut echo = redis::cmd("ECHO");
    echo.arg("goodbye");
    let reply = handle.wire().send(echo).await.expect("the reply came");
    assert_eq!(reply, Value::BulkString(b"goodbye".to_vec()));
    eventually("it is up again", async || handle.ping().await.is_ok()).await;
}

#[tokio::test]
async fn a_connection_that_ends_at_once_is_not_replaced_in_a_circle() {
    let server = RedisServer::start();
    // The answer to TIME is the last of what the connection itself needs.
    let (url, accepted) = hang_up_after(server.port(), b"*2\r\n$10\r\n").await;
    let handle = RedisHandle::connect(&url).expect("a good url");
    let begun = Instant::now();
    eventually("it goes on", async || accepted.load(Ordering::SeqCst) >= 7).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The first waits are short; the later ones last 300 ms at least.
    let most = 8 + (begun.elapsed().as_millis() / 300) as usize;
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted <= most, "{accepted} connections, {most} at most");
    drop(handle);
}

#[tokio::test]
async fn a_connection_that_ends_while_the_handle_closes_is_not_replaced() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let handle = RedisHandle::builder(proxy.url())
        .command_timeout(Duration::from_secs(30))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    server.signal("STOP");
    handle.wire().post(redis::cmd("PING"));
    let closing = tokio::spawn({
        let handle = handle.clone();
        async move { handle.close().await }
    });
    eventually("commands are refused", async || {
        let ping = tokio::time::timeout(Duration::from_millis(10), handle.ping());
        ping.await.is_ok()
    })
    .await;
    proxy.black_hole(true);
    proxy.cut();
    eventually("it is closed", async || closing.is_finished()).await;
    assert_eq!(proxy.accepted(), 1, "nobody wants another connection");
    let RedisStatus::Away { reason, .. } = handle.status() else {
        panic!("it is closed");
    };
    assert_eq!(&*reason, "closed by this process");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_comes_to_an_end_though_others_go_on_asking() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_secs(30))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    let askers: Vec<_> = (0..64)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move {
                loop {
                    if let Err(error) = handle.ping().await {
                        break error.kind();
                    }
                }
            })
        })
        .collect();
    let closed = tokio::time::timeout(Duration::from_secs(10), handle.close());
    closed.await.expect("it ends");
    for asker in askers {
        assert_eq!(asker.await.expect("no panic"), RedisErrorKind::Away);
    }
}

#[tokio::test]
async fn writes_held_up_by_a_pause_do_not_leave_one_by_one_when_it_is_over() {
    const WRITES: u64 = 20_000;
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_secs(30))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    let before = reads(&server);
    server.signal("STOP");
    // More than the network takes in.
    let padding = vec![b'x'; 1024];
    let mut waiting = Vec::new();
    for _ in 0..WRITES {
        let wire = handle.wire();
        let mut echo = redis::cmd("ECHO");
        echo.arg(&padding);
        waiting.push(tokio::spawn(async move { wire.send(echo).await }));
        // One turn for the command, two for the supervisor: each makes a write of its own.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }
    server.signal("CONT");
    for reply in waiting {
        reply.await.expect("no panic").expect("it is answered");
    }
    let reads = reads(&server) - before;
    assert!(reads < WRITES / 4, "{reads} reads for {WRITES} writes");
}

#[tokio::test]
async fn a_server_that_repeats_the_password_does_not_make_it_public() {
    let server = RedisServer::start_on(
        free_port(),
        &["--rename-command", "HELLO", "", "--requirepass", "hunter2"],
    );
    let url = format!("redis://:hunter2@127.0.0.1:{}", server.port());
    let handle = RedisHandle::connect(&url).expect("a good url");
    let error = handle.ping().await.expect_err("it cannot log in");
    let shown = format!("{error} {error:?} {:?}", handle.status());
    assert!(!shown.contains("hunter2"), "{shown}");
}

/// Answers every command, whatever it is, with the same bytes.
async fn says(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                while let Ok(length) = stream.read(&mut bytes).await
                    && length > 0
                {
                    let commands = bytes[..length].iter().filter(|byte| **byte == b'*').count();
                    let _ = stream.write_all(&reply.repeat(commands)).await;
                }
            });
        }
    });
    format!("redis://127.0.0.1:{port}")
}

#[tokio::test]
async fn what_is_no_redis_is_away_and_the_reason_is_told() {
    for (reply, told) in [
        (&b"-ERR go away\r\n"[..], "go away"),
        (b"-NOAUTH Authentication required.\r\n", "NOAUTH"),
        (b"+OK\r\n", "TIME"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Parse error"),
        (b"*2\r\n$19\r\n9223372036854775807\r\n$1\r\n1\r\n", "TIME"),
    ] {
        let handle = RedisHandle::connect(&says(reply).await).expect("a good url");
        let error = handle.ping().await.expect_err("it is no Redis");
        assert_eq!(error.kind(), RedisErrorKind::Away);
        let RedisStatus::Away { reason, .. } = handle.status() else {
            panic!("it is no Redis");
        };
        assert!(reason.contains(told), "{reason}");
    }
}
