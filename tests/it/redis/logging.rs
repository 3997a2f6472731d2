//! What the log says: one line a change, whatever the load.

use super::said::own_lines;
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

// One thread, so that the subscriber of this thread sees the supervisor too.
#[tokio::test]
async fn each_change_is_logged_once_and_without_the_password() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);

    let server = RedisServer::start();
    server.command(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let port = server.port();
    let url = format!("redis://:hunter2@127.0.0.1:{port}");
    let handle = patient(&url);
    handle.ping().await.expect("it is up");
    drop(server);
    eventually("the loss is noticed", async || !handle.status().is_up()).await;
    for _ in 0..1000 {
        let _ = handle.ping().await;
    }
    let _server = RedisServer::start_on(port, &["--requirepass", "hunter2"]);
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;

    let text = log.text();
    let lines = own_lines(&text);
    assert_eq!(lines.len(), 3, "up, away, up:\n{text}");
    assert!(
        lines[1].contains("WARN") && lines[1].contains(&format!("127.0.0.1:{port}")),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}
