//! How renewals leave, and what a new connection is told first: judged by the writes that a line
//! between a process and its Redis sees, in their order.

use futures_util::future::join_all;
use tower_handoff::lock::{LockKey, Locks, OwnedLock};
use tower_handoff::redis::RedisHandle;

use super::rig::ms;
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;
use line::Line;

mod line;

const HELD: usize = 100;

/// Nothing of it is due while a test runs.
const HOUR: u64 = 3_600_000;

fn key(name: &str) -> LockKey {
    LockKey::new(name).unwrap()
}

fn locks(redis: &RedisHandle, lease: u64) -> Locks {
    Locks::new(redis.locks()).with_lease(ms(lease)).unwrap()
}

/// How many of these writes call a script for a key that begins so, and how many such calls they are.
fn calls(writes: &[Vec<u8>], key: &str) -> (usize, usize) {
    let name = format!("\r\napp:l1:{{{key}");
    // Each names its lock and its line.
    let each = |write: &Vec<u8>| {
        let names = write.windows(name.len());
        names.filter(|window| *window == name.as_bytes()).count() / 2
    };
    let counts = || writes.iter().map(each);
    (counts().filter(|calls| *calls > 0).count(), counts().sum())
}

/// A handle whose Redis knows the script of a renewal: else each of the first ones is sent twice.
async fn warm(line: &Line) -> RedisHandle {
    // A reply that is late on a busy machine would have it renewed once more.
    let builder = RedisHandle::builder(line.url()).command_timeout(PATIENCE);
    let redis = builder.connect().unwrap();
    let lock = locks(&redis, 3_000).acquire(key("warm")).await.unwrap();
    // The acquire, and a renewal that is sent twice, among them.
    eventually("it is renewed", async || {
        calls(&line.writes(), "warm").1 > 4
    })
    .await;
    lock.release().await;
    redis
}

async fn hold(locks: &Locks) -> Vec<OwnedLock> {
    let all = (0..HELD).map(|number| locks.acquire(key(&format!("held:{number}"))));
    join_all(all)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn the_renewals_of_what_was_taken_together_leave_together() {
    let server = RedisServer::start();
    let line = Line::start(server.port()).await;
    let redis = warm(&line).await;
    let held = hold(&locks(&redis, 6_000)).await;
    let before = line.writes().len();
    let renewed = || calls(&line.writes()[before..], "held:");
    eventually("each is renewed", async || renewed().1 >= HELD).await;
    let (writes, renewals) = renewed();
    println!("{renewals} renewals in {writes} writes");
    assert!(
        4 * writes <= renewals,
        "{renewals} renewals in {writes} writes"
    );
    assert!(held.iter().all(|lock| lock.check().is_ok()));
}

/// Nothing else would renew within the hour; and who waits would look by itself after a second, while
/// these round trips take none.
#[tokio::test]
async fn after_a_reconnect_all_that_is_held_and_waited_for_is_asked_for_before_anything_else() {
    let server = RedisServer::start();
    let line = Line::start(server.port()).await;
    let redis = warm(&line).await;
    let rival = patient(&server.url());
    let _taken = locks(&rival, HOUR).acquire(key("wanted")).await.unwrap();
    let locks = locks(&redis, HOUR).with_wait(ms(60_000)).unwrap();
    let held = hold(&locks).await;
    let waits = tokio::spawn(async move { locks.acquire(key("wanted")).await });
    eventually("it stands in line", async || {
        server.command(&["LLEN", "app:l1:{wanted}:q"]) == redis::Value::Int(1)
    })
    .await;
    let before = line.writes().len();
    line.cut();
    eventually("it is connected again", async || redis.ping().await.is_ok()).await;
    // Within some of them; a round trip comes soon after the other, however slow this machine is.
    for lap in 0..100 {
        redis.ping().await.unwrap();
        if lap >= 10 && calls(&line.writes()[before..], "wanted").1 > 0 {
            break;
        }
    }
    let writes = line.writes().split_off(before);
    assert!(calls(&writes, "wanted").1 > 0, "who waits has asked again");
    let (in_writes, renewals) = calls(&writes, "held:");
    println!(
        "{renewals} renewals in {in_writes} of {} writes",
        writes.len()
    );
    assert_eq!(renewals, HELD, "each is renewed, once");
    assert!(4 * in_writes <= renewals, "in {in_writes} writes");
    assert!(held.iter().all(|lock| lock.check().is_ok()));
    waits.abort();
}
