//! The next in line is a process that has stopped: to Redis it listens, and to nobody else.

use tokio::time::Instant;
use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey};

use super::rig::ms;
use crate::support::eventually::eventually;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const LINE: &str = "app:l1:{a}:q";

fn looks(server: &RedisServer) -> u64 {
    let counts = server.command_counts();
    counts.get("evalsha").copied().unwrap_or(0)
}

#[tokio::test]
async fn a_successor_that_has_stopped_costs_the_next_one_two_seconds_however_long_it_has_waited() {
    let server = RedisServer::start();
    let [a, b] = [(); 2].map(|()| patient(&server.url()).locks());
    let claim = || {
        let lease = LeaseTime::new(ms(120_000)).unwrap();
        Claim::new(LockKey::new("a").unwrap(), lease)
    };
    let holder = claim();
    let acquired = a.acquire(&holder, None).await.unwrap();
    assert!(matches!(acquired, Acquired::Granted(_)), "{acquired:?}");

    // What a process leaves with Redis that SIGSTOP found in line: a place, and a subscription of a
    // connection that nobody reads.
    let client = redis::Client::open(server.url()).unwrap();
    let mut stopped = client.get_connection().unwrap();
    let mut stopped = stopped.as_pubsub();
    stopped.subscribe("stopped").unwrap();
    server.command(&["RPUSH", LINE, "1its-sixteen-bytestopped"]);

    let next = claim();
    let waits = tokio::spawn(async move { b.acquire(&next, Some(ms(60_000))).await });
    eventually("both are in line", async || {
        server.command(&["LLEN", LINE]) == redis::Value::Int(2)
    })
    .await;
    // It looks less and less often: by now as rarely as it ever does. With nothing to bound that, the next
    // look would be eleven seconds away.
    tokio::time::sleep(ms(300)).await;
    let before = looks(&server);
    eventually("it has looked six times", async || {
        looks(&server) >= before + 6
    })
    .await;
    a.release(&holder).await.unwrap();
    let released = Instant::now();
    let acquired = waits.await.unwrap().unwrap();
    assert!(matches!(acquired, Acquired::Granted(_)), "{acquired:?}");
    let late = released.elapsed();
    assert!(late < ms(8_000), "{late:?}");
    let told = stopped.get_message().unwrap();
    assert_eq!(told.get_channel_name(), "stopped", "it was its turn first");
}
