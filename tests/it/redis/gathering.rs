//! Commands that become ready together leave together, and are answered one by one.

use std::time::Duration;

use futures_util::FutureExt;
use redis::Value;
use tower_handoff::redis::{RedisErrorKind, RedisHandle};

use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

pub(super) fn reads(server: &RedisServer) -> u64 {
    let text: String = redis::from_redis_value(server.command(&["INFO", "stats"])).expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("total_reads_processed:"));
    line.expect("INFO has it").trim().parse().expect("a number")
}

async fn rounds_of_64(handle: &RedisHandle, rounds: usize) {
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move {
                for _ in 0..rounds {
                    handle.ping().await.expect("it is up");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sixty_four_callers_share_their_writes() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    let before = reads(&server);
    rounds_of_64(&handle, 100).await;
    let reads = reads(&server) - before;
    assert!(reads < 6400 / 8, "{reads} reads for 6400 commands");
}

#[tokio::test]
async fn each_caller_gets_its_own_reply_and_its_own_error() {
    let server = RedisServer::start();
    server.command(&["SET", "text", "x"]);
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    // More than one pipeline can hold.
    let calls = (0..2000_u32).map(|number| {
        let wire = handle.wire();
        async move {
            let mut command = redis::cmd(if number % 3 == 0 { "LPUSH" } else { "ECHO" });
            if number % 3 == 0 {
                command.arg("text");
            }
            command.arg(number);
            wire.send(command).await
        }
    });
    for (number, reply) in futures_util::future::join_all(calls)
        .await
        .into_iter()
        .enumerate()
    {
        if number % 3 == 0 {
            let error = reply.expect_err("the key holds text");
            assert_eq!(error.code(), Some("WRONGTYPE"));
        } else {
            let expected = Value::BulkString(number.to_string().into_bytes());
            assert_eq!(reply.expect("it echoes"), expected);
        }
    }
}

#[tokio::test]
async fn a_dropped_future_s_command_goes_out_and_harms_nobody() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    let wire = handle.wire();
    for number in 0..100 {
        let mut add = redis::cmd("SADD");
        add.arg("seen").arg(number);
        let mut sent = Box::pin(wire.send(add));
        assert!(sent.as_mut().now_or_never().is_none(), "polled once");
        drop(sent);
        if number % 10 == 0 {
            handle.ping().await.expect("others go on");
        }
    }
    eventually("all were carried out", async || {
        server.command(&["SCARD", "seen"]) == Value::Int(100)
    })
    .await;
}

#[tokio::test]
async fn posted_and_awaited_commands_are_carried_out_in_order() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let wire = handle.wire();
    for number in 0..1000 {
        let mut append = redis::cmd("RPUSH");
        append.arg("list").arg(number);
        if number % 7 == 0 {
            wire.send(append).await.expect("it is up");
        } else {
            wire.post(append);
        }
    }
    handle.ping().await.expect("it is up");
    let list: Vec<u32> =
        redis::from_redis_value(server.command(&["LRANGE", "list", "0", "-1"])).expect("numbers");
    assert_eq!(list, (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_queue_refuses_and_empties_again() {
    let server = RedisServer::start();
    let handle = RedisHandle::builder(server.url())
        .queue_bound(10)
        .command_timeout(Duration::from_secs(10))
        .connect()
        .expect("good settings");
    handle.ping().await.expect("it is up");
    server.signal("STOP");
    let wire = handle.wire();
    // On this single thread the supervisor has no turn between these polls.
    let mut waiting: Vec<_> = (0..25)
        .map(|_| Box::pin(wire.send(redis::cmd("PING"))))
        .collect();
    let refused = waiting
        .iter_mut()
        .filter_map(|ping| ping.as_mut().now_or_never())
        .map(|reply| reply.expect_err("nothing answers").kind())
        .collect::<Vec<_>>();
    assert_eq!(refused, [RedisErrorKind::Away; 15]);
    server.signal("CONT");
    for ping in waiting.drain(..10) {
        ping.await.expect("the queued ones are answered");
    }
    handle.ping().await.expect("there is room again");
}

#[tokio::test]
async fn a_crowd_that_was_queued_at_once_is_carried_out_in_order() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    // On this single thread the supervisor has no turn between these, and then takes hundreds at once.
    for number in 0..4096 {
        let mut append = redis::cmd("RPUSH");
        append.arg("list").arg(number);
        handle.wire().post(append);
    }
    handle.ping().await.expect("it is up");
    let list: Vec<u32> =
        redis::from_redis_value(server.command(&["LRANGE", "list", "0", "-1"])).expect("numbers");
    let astray = list.iter().zip(0..).find(|(number, at)| *number != at);
    assert_eq!((list.len(), astray), (4096, None));
}

// Redis ends a connection that hears messages once 32 MB of replies wait for it.
#[tokio::test]
async fn large_replies_that_pile_up_do_not_end_a_connection_that_hears_messages() {
    let server = RedisServer::start();
    server.command(&["SET", "large", &"x".repeat(16 * 1024)]);
    let handle = RedisHandle::builder(server.url())
        .command_timeout(Duration::from_secs(20))
        .connect()
        .expect("good settings");
    let wire = handle.wire();
    wire.inbox_ready().await.expect("it is up");
    server.signal("STOP");
    let mut get = redis::cmd("GET");
    get.arg("large");
    let asked = (0..6000).map(|_| {
        let (wire, get) = (wire.clone(), get.clone());
        tokio::spawn(async move { wire.send(get).await })
    });
    let asked: Vec<_> = asked.collect();
    // Until all that may leave has left.
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal("CONT");
    for reply in asked {
        reply.await.expect("no panic").expect("it is answered");
    }
    assert_eq!(*wire.epochs().borrow(), 1, "the connection is the same");
}

// The last replies come and the connection ends while the supervisor looks at neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_came_just_before_the_end_is_handed_out() {
    let server = RedisServer::start();
    for _ in 0..500 {
        let handle = patient(&server.url());
        handle.ping().await.expect("it is up");
        let wire = handle.wire();
        let mut add = redis::cmd("INCR");
        add.arg("count");
        // Redis answers both, and then hangs up.
        let (added, quit) = tokio::join!(wire.send(add), wire.send(redis::cmd("QUIT")));
        added.expect("it was acknowledged");
        quit.expect("so was this");
    }
    assert_eq!(
        server.command(&["GET", "count"]),
        Value::BulkString(b"500".to_vec())
    );
}
