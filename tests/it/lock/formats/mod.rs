//! Instances of an earlier version beside those of this one, as in every rolling update: its scripts
//! are kept here as they were.

use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey, Released, Renewed};

use super::rig::ms;
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const LOCK: &str = "app:l1:{a}";
const LINE: &str = "app:l1:{a}:q";
const DAY: i64 = 24 * 60 * 60 * 1_000;

/// One that says nothing to operators.
struct Older<'a> {
    server: &'a RedisServer,
    token: &'static str,
    channel: &'static str,
}

impl Older<'_> {
    fn run(&self, script: &str, args: &[&str]) -> redis::Value {
        let call = ["EVAL", script, "2", LOCK, LINE, self.token];
        self.server.command(&[&call[..], args].concat())
    }

    fn acquire(&self, line: bool) -> redis::Value {
        let (keep, briefly) = ((DAY + 60_000).to_string(), (DAY + 1_000).to_string());
        let most = if line { "8" } else { "-1" };
        let args = [&keep, "9000000000000", self.channel, &briefly, most];
        self.run(include_str!("acquire_1.lua"), &args)
    }

    fn renew(&self) -> i64 {
        let keep = (DAY + 60_000).to_string();
        redis::from_redis_value(self.run(include_str!("renew_1.lua"), &[&keep])).unwrap()
    }

    fn release(&self) -> redis::Value {
        let briefly = (DAY + 1_000).to_string();
        let args = [self.channel, &briefly, "", "", &briefly];
        self.run(include_str!("release_1.lua"), &args)
    }
}

fn claim() -> Claim {
    let lease = LeaseTime::new(ms(60_000)).unwrap();
    let mut claim = Claim::new(LockKey::new("a").unwrap(), lease);
    claim.note = tower_handoff::lock::Note::new(Some("pay"), Some("/pay"), Some(b"7"));
    claim
}

#[tokio::test]
async fn an_older_instance_waits_for_what_a_newer_one_holds_and_gets_it() {
    let server = RedisServer::start();
    let newer = patient(&server.url()).locks();
    let client = redis::Client::open(server.url()).unwrap();
    let mut ear = client.get_connection().unwrap();
    let mut ear = ear.as_pubsub();
    ear.subscribe("older").unwrap();
    let older = Older {
        server: &server,
        token: "1the-older-one-16",
        channel: "older",
    };
    let (holder, next) = (claim(), claim());
    let granted = newer.acquire(&holder, None).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)));
    let busy: (i64, i64, i64) = redis::from_redis_value(older.acquire(true)).unwrap();
    assert_eq!(busy.0, 0, "it is held");
    let renewed = newer.renew(&holder).await.unwrap();
    assert!(matches!(renewed, Renewed::Renewed(_)));
    assert_eq!(newer.release(&holder).await.unwrap(), Released::HandedOver);
    let message: Vec<u8> = ear.get_message().unwrap().get_payload().unwrap();
    assert!(message.starts_with(older.token.as_bytes()));
    assert!(older.renew() > 0, "it holds the key");

    // As far as it says who it is.
    let seen = newer.inspect(&holder.key).await.unwrap().unwrap();
    assert_eq!(seen.instance.as_deref(), Some("older"));
    assert_eq!((seen.pid, seen.note.as_str()), (None, ""));
    let busy = newer.acquire(&next, None).await.unwrap();
    assert!(matches!(busy, Acquired::Busy { .. }));
    let waits = {
        let (newer, next) = (newer.clone(), next.clone());
        tokio::spawn(async move { newer.acquire(&next, Some(ms(60_000))).await })
    };
    eventually("it waits", async || {
        server.command(&["LLEN", LINE]) == redis::Value::Int(1)
    })
    .await;
    assert_eq!(older.release(), redis::Value::Int(2), "handed over");
    let granted = waits.await.unwrap().unwrap();
    assert!(matches!(granted, Acquired::Granted(_)));
    assert_eq!(newer.release(&next).await.unwrap(), Released::Freed);
    assert!(newer.inspect(&holder.key).await.unwrap().is_none());
}

/// It publishes to all that stands where it expects a channel and nothing else.
#[tokio::test]
async fn a_newer_holder_that_tells_operators_nothing_hears_of_an_older_one_that_waits() {
    let server = RedisServer::start();
    let newer = patient(&server.url()).locks();
    let plain = || {
        let lease = LeaseTime::new(ms(60_000)).unwrap();
        Claim::new(LockKey::new("a").unwrap(), lease)
    };
    let channel = || -> String {
        redis::from_redis_value(server.command(&["GETRANGE", LOCK, "34", "-1"])).unwrap()
    };
    let (first, next) = (plain(), plain());
    let granted = newer.acquire(&first, None).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)));
    let own = channel();
    assert!(
        own.starts_with("app:inbox1:") && !own.contains(' '),
        "{own:?}"
    );
    newer.renew(&first).await.unwrap();
    assert_eq!(channel(), own, "after a renewal");
    let client = redis::Client::open(server.url()).unwrap();
    let mut ear = client.get_connection().unwrap();
    let mut ear = ear.as_pubsub();
    ear.subscribe(&own).unwrap();
    ear.set_read_timeout(Some(ms(20_000))).unwrap();
    let older = Older {
        server: &server,
        token: "1the-older-one-16",
        channel: "older",
    };
    older.acquire(true);
    let word: Vec<u8> = ear.get_message().unwrap().get_payload().unwrap();
    assert!(word.starts_with(b"w1") && word.len() == 18, "{word:?}");
    // Nobody listens to the older one any more: granted past a line, it is the same.
    newer.release(&first).await.unwrap();
    server.command(&["RPUSH", LINE, "1of-nobody-at-all"]);
    server.command(&["DEL", LOCK]);
    let granted = newer.acquire(&next, None).await.unwrap();
    assert!(matches!(granted, Acquired::Granted(_)));
    assert_eq!(channel(), own, "past a line");
}

#[tokio::test]
async fn what_a_version_to_come_holds_is_neither_read_nor_touched() {
    let server = RedisServer::start();
    let locks = patient(&server.url()).locks();
    for held in [
        &["SET", LOCK, "2of which nobody knows"][..],
        // It need not keep values for a day after their lease.
        &["SET", LOCK, "2of which nobody knows", "PX", "60000"],
        &["SET", LOCK, ""],
    ] {
        server.command(held);
        assert!(locks.inspect(&claim().key).await.is_err(), "{held:?}");
        assert!(locks.acquire(&claim(), None).await.is_err(), "{held:?}");
        let kept: String = redis::from_redis_value(server.command(&["GET", LOCK])).unwrap();
        assert_eq!(kept, held[2]);
    }
}
