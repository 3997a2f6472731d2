//! This process has more to do than time for it, and Redis is well.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tower_handoff::redis::RedisHandle;

use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

/// Behind everything that can run; tokio's own `yield_now` gives way to the sockets as well.
async fn go_to_the_end_of_the_queue() {
    let mut was_there = false;
    poll_fn(|context| {
        if std::mem::replace(&mut was_there, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A handler that never waits.
#[expect(
    clippy::disallowed_methods,
    reason = "that a thread is busy is the point"
)]
async fn work() {
    for _ in 0..6 {
        std::thread::sleep(Duration::from_millis(10));
        go_to_the_end_of_the_queue().await;
    }
}

/// Whether the connection lasts while every round of the handlers takes longer than a command may.
async fn connection_lasts(server: &RedisServer) -> bool {
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_millis(200))
        .connect()
        .expect("good settings");
    let mut epochs = handle.wire().epochs();
    epochs
        .wait_for(|epoch| *epoch == 1)
        .await
        .expect("it lives");
    let handlers: Vec<_> = (0..60)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move {
                work().await;
                let _ = handle.ping().await;
                work().await;
            })
        })
        .collect();
    for handler in handlers {
        handler.await.expect("no panic");
    }
    eventually("a ping is answered", async || handle.ping().await.is_ok()).await;
    *epochs.borrow() == 1
}

/// Of several tries, as what else this machine does may hold the process up for longer than any
/// patience; a process that blames Redis for its own lateness fails in each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_answers_is_not_silent_to_a_process_that_has_no_time_to_read() {
    let server = RedisServer::start();
    for _ in 0..5 {
        if connection_lasts(&server).await {
            return;
        }
    }
    panic!("a Redis that answers was left five times");
}
