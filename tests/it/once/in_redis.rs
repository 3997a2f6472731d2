//! What Redis is asked, what it holds, and what there is not ours.

use std::convert::Infallible;

use tower_handoff::once::{Job, OnceError, Outcome};

use super::rig::{fleet, fresh_for, job, ms, occupy, run};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{once:x}";
const KEPT: &str = "app:o1:{once:x}";

fn number(value: redis::Value) -> i64 {
    redis::from_redis_value(value).unwrap()
}

fn asked(server: &RedisServer) -> [u64; 3] {
    let counts = server.command_counts();
    ["mget", "evalsha", "eval"].map(|name| counts.get(name).copied().unwrap_or(0))
}

#[tokio::test]
async fn a_run_costs_a_read_and_four_scripts_and_what_is_done_costs_a_read() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let free = async |name: &str| {
        let lock = format!("app:l1:{{once:{name}}}");
        eventually("it is let go", async || {
            let value: Vec<u8> = redis::from_redis_value(server.command(&["GET", &lock])).unwrap();
            value.starts_with(b"0")
        })
        .await;
    };
    run(&fleet.a, &job("warm"), 1).await.unwrap();
    free("warm").await;

    server.command(&["CONFIG", "RESETSTAT"]);
    assert_eq!(run(&fleet.a, &job("x"), 1).await.unwrap(), Outcome::Ran(1));
    free("x").await;
    assert_eq!(asked(&server), [1, 4, 0]);

    server.command(&["CONFIG", "RESETSTAT"]);
    assert_eq!(
        run(&fleet.b, &job("x"), 2).await.unwrap(),
        Outcome::Fresh(1)
    );
    assert_eq!(asked(&server), [1, 0, 0]);

    let runs = occupy(&fleet.a, &job("y")).await;
    let by = Some("a".to_owned());
    server.command(&["CONFIG", "RESETSTAT"]);
    assert_eq!(
        run(&fleet.b, &job("y"), 2).await.unwrap(),
        Outcome::Skipped { by }
    );
    assert_eq!(asked(&server), [2, 1, 0]);
    runs.abort();
}

#[tokio::test]
async fn the_time_counts_from_the_end_on_redis_s_clock() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let now = || {
        let [secs, micros]: [u64; 2] = redis::from_redis_value(server.command(&["TIME"])).unwrap();
        secs * 1_000 + micros / 1_000
    };
    let work = |_| async {
        tokio::time::sleep(ms(300)).await;
        Ok::<u64, Infallible>(now())
    };
    let x = fresh_for("x", ms(60_000));
    let ran = fleet.a.run(&x, work).await.unwrap();
    let (end, after) = (ran.into_value().unwrap(), now());
    // Until when it lives, to within what it took to ask: `PEXPIRETIME` came with 7.0.
    let left = number(server.command(&["PTTL", KEPT])) as u64;
    let until = after + left..=now() + left;
    assert!(
        *until.end() >= end + 60_000 && *until.start() <= after + 60_000,
        "{end} {until:?} {after}"
    );

    // Less than a millisecond is one, and a slot is a day unless told otherwise.
    let brief = fresh_for("x", std::time::Duration::from_nanos(1));
    server.command(&["DEL", KEPT]);
    eventually("it runs, and is over", async || {
        run(&fleet.a, &brief, 1).await.is_ok()
            && server.command(&["EXISTS", KEPT]) == redis::Value::Int(0)
    })
    .await;
    let slot = Job::new("x").unwrap().with_slot("1").unwrap();
    run(&fleet.a, &slot, 1).await.unwrap();
    let left = number(server.command(&["PTTL", "app:o1:{once:x:1}"]));
    assert!((80_000_000..=86_400_000).contains(&left), "{left}");
}

#[tokio::test]
async fn nothing_stays_for_ever_and_no_result_of_a_job_without_a_time() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let x = Job::new("x").unwrap();
    run(&fleet.a, &x, 1).await.unwrap();
    assert_eq!(server.command(&["EXISTS", KEPT]), redis::Value::Int(0));
    run(&fleet.a, &job("y"), 1).await.unwrap();
    let z = job("z");
    let failed = fleet.a.run(&z, |_| async { Err::<u64, _>("on purpose") });
    assert!(failed.await.is_err());
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"])).unwrap();
    assert_eq!(keys.len(), 5, "{keys:?}");
    for key in keys {
        let left = number(server.command(&["PTTL", &key]));
        assert!((1..=2 * 86_400_000).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_stays() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    for command in [
        &["SET", KEPT, "2 whatever comes later"][..],
        &["SET", KEPT, "1x"],
        &["SET", KEPT, ""],
        &["RPUSH", KEPT, "x"],
        &["HSET", KEPT, "a", "x"],
        &["RPUSH", LOCK, "x"],
        &["SET", LOCK, "2 whatever comes later"],
    ] {
        server.command(&["FLUSHALL"]);
        server.command(command);
        let key = command[1];
        let before = server.command(&["DUMP", key]);
        let error = run(&fleet.a, &job("x"), 1).await.unwrap_err();
        assert!(
            matches!(error, OnceError::Unavailable(_)),
            "{command:?}: {error:?}"
        );
        assert_eq!(server.command(&["DUMP", key]), before, "{command:?}");
        assert_eq!(run(&fleet.a, &job("y"), 1).await.unwrap(), Outcome::Ran(1));
        server.command(&["DEL", KEPT, LOCK]);
        eventually("it runs again", async || {
            matches!(run(&fleet.a, &job("x"), 1).await, Ok(Outcome::Ran(1)))
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_newer_version_keeps_while_a_job_runs_is_not_overwritten() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let newer = "2 whatever comes later";
    let work = |_| async {
        server.command(&["SET", KEPT, newer]);
        Ok::<u64, Infallible>(1)
    };
    let error = fleet.a.run(&job("x"), work).await.unwrap_err();
    assert!(matches!(error, OnceError::NotKept(_)), "{error:?}");
    let kept: String = redis::from_redis_value(server.command(&["GET", KEPT])).unwrap();
    assert_eq!(kept, newer);
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() {
    let server = RedisServer::start();
    let fleet = fleet(&server);
    let work = |_| async {
        server.command(&["SCRIPT", "FLUSH"]);
        Ok::<u64, Infallible>(1)
    };
    for name in ["a", "b"] {
        assert_eq!(
            fleet.a.run(&job(name), work).await.unwrap(),
            Outcome::Ran(1)
        );
        assert_eq!(
            run(&fleet.b, &job(name), 2).await.unwrap(),
            Outcome::Fresh(1)
        );
    }
}
