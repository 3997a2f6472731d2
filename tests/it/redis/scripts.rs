//! EVALSHA first, one EVAL where Redis does not know the script.

use futures_util::future::join_all;
use redis::Value;
use tower_handoff::redis::RedisErrorKind;

use crate::support::patient::patient;
use crate::support::redis_server::{RedisServer, free_port};

fn count(server: &RedisServer, name: &str) -> u64 {
    server.command_counts().get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn a_script_is_sent_whole_once_and_again_only_after_a_flush() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let wire = handle.wire();
    handle.ping().await.expect("it is up");
    // A connection asks for the right to run scripts.
    server.command(&["CONFIG", "RESETSTAT"]);
    let echoed = Value::Array(vec![
        Value::BulkString(b"key".to_vec()),
        Value::BulkString(b"\0\r\n".to_vec()),
    ]);
    for evals in 1..=2 {
        for _ in 0..10 {
            assert_eq!(
                wire.run_echo(b"key", b"\0\r\n").await.expect("it runs"),
                echoed
            );
        }
        assert_eq!(count(&server, "eval"), evals);
        assert_eq!(count(&server, "evalsha"), evals * 10);
        server.command(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn among_many_commands_each_unknown_script_still_answers_its_own_caller() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    handle.ping().await.expect("it is up");
    let calls = (0..200).map(|number: u32| {
        let wire = handle.wire();
        async move {
            if number.is_multiple_of(2) {
                wire.run_echo(b"key", &number.to_be_bytes()).await
            } else {
                let mut echo = redis::cmd("ECHO");
                echo.arg(&number.to_be_bytes());
                wire.send(echo).await
            }
        }
    });
    for (number, reply) in futures_util::future::join_all(calls)
        .await
        .into_iter()
        .enumerate()
    {
        let mine = Value::BulkString((number as u32).to_be_bytes().to_vec());
        let expected = match number % 2 {
            0 => Value::Array(vec![Value::BulkString(b"key".to_vec()), mine]),
            _ => mine,
        };
        assert_eq!(reply.expect("it runs"), expected);
    }
}

#[tokio::test]
async fn a_script_that_redis_has_lost_is_sent_whole_once_for_all_who_run_it() {
    let server = RedisServer::start();
    let handle = patient(&server.url());
    let wire = handle.wire();
    for evals in 1..=2 {
        let arguments: Vec<_> = (0..100_u8).map(|number| [number]).collect();
        let calls = arguments
            .iter()
            .map(|argument| wire.run_echo(b"key", argument));
        for (number, reply) in join_all(calls).await.into_iter().enumerate() {
            let mine = ["key".into(), vec![number as u8]].map(Value::BulkString);
            assert_eq!(reply.expect("it runs"), Value::Array(mine.into()));
        }
        assert_eq!(count(&server, "eval"), evals);
        // Each once in vain, and again behind the text; two when the connection began.
        assert!(count(&server, "evalsha") < evals * 200 + 2);
        server.command(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn where_the_text_is_refused_nobody_behind_it_asks_more_than_three_times() {
    let server = RedisServer::start();
    server.command(&[
        "ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all", "-eval",
    ]);
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    let handle = patient(&url);
    let wire = handle.wire();
    for reply in join_all((0..100).map(|_| wire.run_echo(b"key", b"x"))).await {
        let error = reply.expect_err("nobody may send the text");
        assert_eq!(error.code(), Some("NOPERM"), "{error}");
    }
    // Two when the connection began.
    assert!(count(&server, "evalsha") <= 202);
}

/// Redis repeats what it was asked, and of what the scripts are given much is no text.
#[tokio::test]
async fn where_scripts_cannot_be_run_each_is_refused_by_name_and_the_connection_stays() {
    for (lacks, asks) in [("EVALSHA", true), ("EVALSHA", false), ("EVAL", true)] {
        let server = RedisServer::start_on(free_port(), &["--rename-command", lacks, ""]);
        if !asks {
            server.command(&["ACL", "SETUSER", "default", "-command"]);
        }
        let handle = patient(&server.url());
        for _ in 0..20 {
            let ran = handle.wire().run_echo(b"key", b"\xff\xfe").await;
            let error = ran.expect_err("it is not known");
            assert_eq!(error.kind(), RedisErrorKind::Refused, "{lacks}: {error}");
            let named = error.to_string().split(' ').any(|word| word == lacks);
            assert!(named, "{lacks}: {error}");
            handle.ping().await.expect("other commands are served");
        }
        let warning = handle.warning().expect("it is not well");
        assert!(warning.contains(lacks), "{warning}");
        let epochs = handle.wire().epochs();
        assert_eq!(*epochs.borrow(), 1, "{lacks}: the connection is the same");
    }
}
