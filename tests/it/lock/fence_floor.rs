//! What a key that was let go leaves behind in Redis.

use tower_handoff::lock::{
    Acquired, Claim, Fence, LeaseTime, LockBackend, LockKey, RedisLocks, Released,
};

use super::rig::ms;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{a}";
const LINE: &str = "app:l1:{a}:q";
const DAY: i64 = 24 * 60 * 60 * 1_000;
const TEN_MINUTES: i64 = 10 * 60 * 1_000;

fn instance(server: &RedisServer) -> RedisLocks {
    patient(&server.url()).locks()
}

fn claim() -> Claim {
    let lease = LeaseTime::new(ms(60_000)).unwrap();
    Claim::new(LockKey::new("a").unwrap(), lease)
}

fn left(server: &RedisServer) -> i64 {
    redis::from_redis_value(server.command(&["PTTL", LOCK])).unwrap()
}

async fn take(locks: &RedisLocks, claim: &Claim) -> Fence {
    let acquired = locks.acquire(claim, None).await.unwrap();
    let Acquired::Granted(lease) = acquired else {
        panic!("{acquired:?}");
    };
    lease.fence()
}

async fn use_once(locks: &RedisLocks) -> Fence {
    let claim = claim();
    let fence = take(locks, &claim).await;
    assert_eq!(locks.release(&claim).await.unwrap(), Released::Freed);
    fence
}

/// Clients choose keys, and may choose a thousand a second.
#[tokio::test]
async fn a_key_that_was_let_go_stays_for_ten_minutes_and_one_whose_lease_was_lost_for_a_day() {
    let server = RedisServer::start();
    let locks = instance(&server);
    let briefly = 1..=TEN_MINUTES;
    use_once(&locks).await;
    assert!(briefly.contains(&left(&server)), "{}", left(&server));
    // Also where it said that others wait, and they are gone, or of a version to come.
    for gone in [true, false] {
        let claim = claim();
        take(&locks, &claim).await;
        server.command(&["SETRANGE", LOCK, "33", "w"]);
        server.command(&["RPUSH", LINE, "2of a version to come"]);
        if gone {
            server.command(&["DEL", LINE]);
        }
        locks.release(&claim).await.unwrap();
        assert!(briefly.contains(&left(&server)), "{}", left(&server));
    }
    server.command(&["DEL", LINE]);
    // A holder that dies.
    take(&instance(&server), &claim()).await;
    assert!((DAY..=DAY + 60_000).contains(&left(&server)));
    // And nothing at all of who was refused.
    server.command(&["FLUSHALL"]);
    take(&instance(&server), &claim()).await;
    let other = instance(&server).acquire(&claim(), None).await.unwrap();
    assert!(matches!(other, Acquired::Busy { .. }));
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"])).unwrap();
    assert_eq!(keys, [LOCK]);
}

/// The fences are ahead of a clock that was set back: the floor stays until that is past them.
#[tokio::test]
async fn the_floor_stays_until_redis_s_clock_has_passed_it() {
    let server = RedisServer::start();
    let locks = instance(&server);
    use_once(&locks).await;
    let [secs, _]: [i64; 2] = redis::from_redis_value(server.command(&["TIME"])).unwrap();
    let hour = 60 * 60 * 1_000;
    for ahead in [hour, 7 * DAY] {
        let floor = (secs * 1_000 + ahead) * 1_000;
        let value = format!("0{floor:016}");
        server.command(&["SET", LOCK, &value, "PX", "60000"]);
        let stays = ahead - 60_000..=ahead + TEN_MINUTES + 1;
        for next in 1..=3 {
            assert_eq!(use_once(&locks).await.get(), (floor + next) as u64);
            assert!(stays.contains(&left(&server)), "{}", left(&server));
        }
        // Of who was granted it and did not wait for that, Redis alone knows the fence.
        let withdrawn = claim();
        take(&instance(&server), &withdrawn).await;
        instance(&server).withdraw(&withdrawn).await.unwrap();
        assert!(stays.contains(&left(&server)), "{}", left(&server));
    }
    // A clock that is far past a fence need not be held back by it.
    let held = claim();
    server.command(&["DEL", LOCK]);
    take(&instance(&server), &held).await;
    let long_ago = format!("{:016}", (secs * 1_000 - 2 * TEN_MINUTES) * 1_000);
    server.command(&["SETRANGE", LOCK, "17", &long_ago]);
    instance(&server).withdraw(&held).await.unwrap();
    assert_eq!(left(&server), -2, "it is gone");
}
