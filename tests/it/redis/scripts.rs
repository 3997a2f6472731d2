//! EVALSHA first, one EVAL where Redis does not know the script.

use redis::Value;
use tower_handoff::redis::RedisHandle;

use crate::support::redis_server::RedisServer;

fn count(server: &RedisServer, name: &str) -> u64 {
    server.command_counts().get(name).copied().unwrap_or(0)
}

#[tokio::test]
async fn a_script_is_sent_whole_once_and_again_only_after_a_flush() {
    let server = RedisServer::start();
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
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
    let handle = RedisHandle::connect(&server.url()).expect("a good url");
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
