//! Claims with different leases on one key, in one process.

use redis::Value;
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey, Released, Renewed};

use super::rig::ms;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{a}";
const DAY: i64 = 24 * 60 * 60 * 1_000;

fn claim(lease: u64) -> Claim {
    let lease = LeaseTime::new(ms(lease)).unwrap();
    Claim::new(LockKey::new("a").unwrap(), lease)
}

/// It had the key from one of its process whose lease is an hour.
#[tokio::test]
async fn who_has_a_short_lease_holds_the_key_for_no_longer_than_that() {
    let server = RedisServer::start();
    let [here, rival] = [(); 2].map(|()| patient(&server.url()).locks());
    let (hour, second) = (claim(3_600_000), claim(4_000));
    here.acquire(&hour, None).await.unwrap();
    let waiting = {
        let (here, second) = (here.clone(), second.clone());
        tokio::spawn(async move { here.acquire(&second, Some(ms(60_000))).await.unwrap() })
    };
    // On this thread's runtime it is in line with its first poll.
    tokio::task::yield_now().await;
    assert_ne!(here.release(&hour).await.unwrap(), Released::NotHeld);
    assert!(matches!(waiting.await.unwrap(), Acquired::Granted(_)));
    let Renewed::Renewed(lease) = here.renew(&second).await.unwrap() else {
        panic!("it holds the key");
    };
    // Nobody renews it again: as if its process had died.
    tokio::time::sleep(ms(4_100)).await;
    let granted = rival.acquire(&claim(1_000), None).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)), "{granted:?}");
    let now = tokio::time::Instant::now();
    assert!(lease.deadline() <= now, "two hold the key");
}

/// Somebody may go by what Redis said before: the same token's lease only ever ends later.
#[test]
fn no_script_shortens_a_lease() {
    let server = RedisServer::start();
    let acquire = concat!(
        include_str!("../../../src/lock/redis/acquire_free.lua"),
        include_str!("../../../src/lock/redis/hand_over.lua"),
        include_str!("../../../src/lock/redis/acquire.lua")
    );
    let renew = include_str!("../../../src/lock/redis/renew.lua");
    let token = "1sixteen-bytes-ok";
    let (second, hour) = ((DAY + 1_000).to_string(), (DAY + 3_600_000).to_string());
    let left = || {
        let left: i64 = redis::from_redis_value(server.command(&["PTTL", LOCK])).unwrap();
        left - DAY
    };
    for script in [renew, acquire] {
        let held = format!("{token}1700000000000001-channel");
        server.command(&["SET", LOCK, &held, "PX", &(DAY + 60_000).to_string()]);
        for (keep, expected) in [(&second, 50_000..=60_000), (&hour, 3_000_000..=3_600_000)] {
            let call = ["EVAL", script, "2", LOCK, "q", token, keep];
            let rest = ["9000000000000", "channel", &second, "-1", ""];
            let answer = server.command(&[&call[..], &rest].concat());
            assert_ne!(answer, Value::Int(0));
            assert!(expected.contains(&left()), "{} for {keep}", left());
        }
    }
}
