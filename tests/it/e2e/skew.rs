//! Instances whose wall clocks are five minutes off, ahead and behind, beside one that is right:
//! Redis's clock counts, so no client can tell them apart.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use redis::Value;

use crate::support::eventually::eventually;
use crate::support::http::{Answer, Client};
use crate::support::redis_server::RedisServer;
use crate::support::testbed::Testbed;

/// How far the clocks are off, in seconds.
const SKEWS: [i64; 3] = [-300, 0, 300];
/// More than anything here takes, and far less than the skew.
const NEAR_MS: u64 = 60_000;
const IDLE_MS: u64 = 600_000;
const ABSOLUTE_MS: u64 = 3_600_000;
const LEASE_MS: u64 = 200_000;

/// libfaketime, which moves the wall clock of one process.
fn library() -> String {
    let named = std::env::var("FAKETIME_LIBRARY");
    let arch = std::env::consts::ARCH;
    let usual = [
        format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketime.so.1"),
        "/usr/lib64/faketime/libfaketime.so.1".to_owned(),
        "/usr/lib/faketime/libfaketime.so.1".to_owned(),
    ];
    let mut all = named.into_iter().chain(usual);
    all.find(|path| Path::new(path).is_file()).expect(
        "no libfaketime found: run ./scripts/test, which installs it, or install it yourself \
         (apt-get install faketime), or say where it is in FAKETIME_LIBRARY",
    )
}

/// An instance whose wall clock is off; what it measures durations with is not.
async fn instance(redis: &RedisServer, skew: i64, server: &str, times: [u64; 2]) -> Testbed {
    let (url, library, offset) = (redis.url(), library(), format!("{skew:+}"));
    let [idle, absolute, lease] = [times[0], times[1], LEASE_MS].map(|ms| ms.to_string());
    let testbed = Testbed::start(&[
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", &offset),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
        ("SERVER", server),
        ("REDIS_URL", &url),
        ("IDLE_MS", &idle),
        ("ABSOLUTE_MS", &absolute),
        ("LEASE_MS", &lease),
    ])
    .await;
    testbed.until("/ready", 200).await;
    testbed
}

/// Redis's time in ms.
fn now_ms(redis: &RedisServer) -> u64 {
    let time: (u64, u64) = redis::from_redis_value(redis.command(&["TIME"])).expect("a time");
    time.0 * 1000 + time.1 / 1000
}

fn pttl(redis: &RedisServer, key: &str) -> u64 {
    match redis.command(&["PTTL", key]) {
        Value::Int(ms) => u64::try_from(ms).unwrap_or_else(|_| panic!("{key}: {ms}")),
        other => panic!("{other:?}"),
    }
}

/// `actual` is `expected` but for the time that the test takes.
#[track_caller]
fn assert_near(what: &str, actual: u64, expected: u64) {
    assert!(
        actual.abs_diff(expected) < NEAR_MS,
        "{what}: {actual}, not about {expected}"
    );
}

/// The second of the day that the server's own clock shows, in its `Date`.
fn second_of_day(answer: &Answer) -> i64 {
    let date = answer.header("date").expect("a date");
    let time = date.split(' ').nth(4).expect("a time of day");
    let parts = time
        .split(':')
        .map(|part| part.parse::<i64>().expect("a number"));
    parts.fold(0, |seconds, part| seconds * 60 + part)
}

fn max_age_ms(answer: &Answer) -> u64 {
    let cookie = answer.header("set-cookie").expect("a cookie");
    let (_, seconds) = cookie.split_once("Max-Age=").expect("a Max-Age");
    seconds.parse::<u64>().expect("seconds") * 1000
}

struct Fleet {
    redis: RedisServer,
    instances: Vec<(i64, Testbed)>,
}

impl Fleet {
    async fn start(server: &str) -> Self {
        let redis = RedisServer::start();
        let mut instances = Vec::new();
        for skew in SKEWS {
            instances.push((
                skew,
                instance(&redis, skew, server, [IDLE_MS, ABSOLUTE_MS]).await,
            ));
        }
        let fleet = Self { redis, instances };
        fleet.check_clocks().await;
        fleet
    }

    /// The test is worth nothing where the clocks are right.
    async fn check_clocks(&self) {
        let real = (now_ms(&self.redis) / 1000) as i64;
        for (skew, testbed) in &self.instances {
            let shown = second_of_day(&testbed.client().get("/untouched").await);
            let off = (shown - real - skew).rem_euclid(86_400);
            assert!(!(60..86_340).contains(&off), "clock {skew:+}: off by {off}");
        }
    }

    /// Milliseconds of a session's record: created, seen, idle, deadline.
    fn times(&self, id: &str) -> [u64; 4] {
        let key = session_key(id);
        let bytes = self.redis.command(&["GETRANGE", &key, "81", "112"]);
        let bytes: Vec<u8> = redis::from_redis_value(bytes).expect("bytes");
        let mut numbers = bytes
            .chunks_exact(8)
            .map(|number| u64::from_be_bytes(number.try_into().expect("eight bytes")));
        std::array::from_fn(|_| numbers.next().expect("a record"))
    }
}

fn session_key(id: &str) -> String {
    format!("testbed:s1:{{{id}}}")
}

async fn own_id(client: &mut Client) -> String {
    let whole = client.get("/session").await.json();
    whole["id_public"].as_str().expect("a public id").to_owned()
}

#[tokio::test]
async fn sessions_go_by_redis_s_clock_whatever_the_instances_say() {
    for server in super::SERVERS {
        let fleet = Fleet::start(server).await;
        let mut clients = Vec::new();
        for (skew, testbed) in &fleet.instances {
            let mut client = testbed.client();
            let login = client.post("/login/ada").await;
            assert_eq!(login.status, 204, "clock {skew:+}");
            assert_eq!(max_age_ms(&login), ABSOLUTE_MS, "clock {skew:+}");
            let (id, now) = (own_id(&mut client).await, now_ms(&fleet.redis));
            let [created, seen, idle, deadline] = fleet.times(&id);
            assert_near("created", created, now);
            assert_near("seen", seen, now);
            assert_eq!(idle, IDLE_MS);
            assert_eq!(deadline, created + ABSOLUTE_MS);
            assert_near(
                "time to live",
                pttl(&fleet.redis, &session_key(&id)),
                IDLE_MS,
            );
            clients.push((client, id));
        }

        // Every instance lists all of them, with Redis's times.
        let now = now_ms(&fleet.redis);
        for (skew, testbed) in &fleet.instances {
            let list = testbed.client().get("/logins/ada").await.json();
            let list = list.as_array().expect("a list");
            assert_eq!(list.len(), SKEWS.len(), "clock {skew:+}");
            for login in list {
                for time in ["created_ms", "seen_ms"] {
                    assert_near(time, login[time].as_u64().expect("ms"), now);
                }
            }
        }

        // No read of a fresh session renews it; one of a session that was long unused does, on
        // whatever instance, and never past the absolute deadline.
        for (client, id) in &clients {
            for (skew, testbed) in &fleet.instances {
                let mut here = client.at(testbed.addr());
                fleet.redis.command(&["CONFIG", "RESETSTAT"]);
                for _ in 0..3 {
                    assert_eq!(here.get("/session").await.status, 200, "clock {skew:+}");
                }
                let counts = fleet.redis.command_counts();
                assert_eq!(counts.get("setrange"), None, "clock {skew:+}: {counts:?}");

                let key = session_key(id);
                let deadline = fleet.times(id)[3];
                let unused = (now_ms(&fleet.redis) - 120_000).to_be_bytes();
                let mut set = redis::cmd("SETRANGE");
                set.arg(&key).arg(89).arg(&unused[..]);
                run(&fleet.redis, &set);
                assert_eq!(here.get("/session").await.status, 200);
                renewed(&fleet, id).await;
                assert_near("renewed to", pttl(&fleet.redis, &key), IDLE_MS);
                assert_eq!(fleet.times(id)[3], deadline, "clock {skew:+}");
            }
        }

        // A token that was rotated is late for a minute, not a stranger, on every instance.
        for (client, _) in &mut clients {
            let old = client.at("");
            assert_eq!(client.post("/session/rotate").await.status, 204);
            for (skew, testbed) in &fleet.instances {
                let mut late = old.at(testbed.addr());
                for path in ["/session/late", "/slow/late?ms=0"] {
                    let answer = late.put(path, "1").await;
                    assert_eq!(
                        (answer.status, answer.header("set-cookie")),
                        (409, None),
                        "clock {skew:+}, {path}"
                    );
                }
            }
        }
    }
}

/// Runs one command whose arguments are no text.
fn run(redis: &RedisServer, command: &redis::Cmd) {
    let client = redis::Client::open(redis.url()).expect("the url is well-formed");
    let mut connection = client.get_connection().expect("the server answers");
    command
        .exec(&mut connection)
        .expect("the command is accepted");
}

/// Nobody waits for a renewal but a test.
async fn renewed(fleet: &Fleet, id: &str) {
    eventually("the session is renewed", async || {
        now_ms(&fleet.redis).saturating_sub(fleet.times(id)[1]) < NEAR_MS
    })
    .await;
}

#[tokio::test]
async fn sessions_end_by_redis_s_clock_whatever_the_instances_say() {
    let redis = RedisServer::start();
    for skew in SKEWS {
        let testbed = instance(&redis, skew, "axum", [1500, 3000]).await;
        let mut client = testbed.client();
        assert_eq!(client.post("/login/ada").await.status, 204);
        let begun = tokio::time::Instant::now();
        // Read on and on, it lives past the idle time-out and ends with the absolute one.
        while client.get("/session").await.status == 200 {
            let lived = begun.elapsed();
            assert!(
                lived < Duration::from_secs(60),
                "clock {skew:+}: it never ends"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let list = client.get("/logins/ada").await.json();
        assert_eq!(list.as_array().map(Vec::len), Some(0), "clock {skew:+}");
    }
}

#[tokio::test]
async fn leases_go_by_redis_s_clock_whatever_the_instances_say() {
    let fleet = Fleet::start("axum").await;
    let mut last = 0;
    for (at, (skew, testbed)) in fleet.instances.iter().enumerate() {
        // The lease of a holder, while it holds.
        let mut holder = testbed.client();
        let name = format!("/lock/{at}?hold_ms=60000");
        let held = tokio::spawn(async move { holder.try_send("POST", &name, None).await });
        let key = format!("testbed:l1:{{{at}}}");
        // The value stays for a day after its lease.
        let lease = || match fleet.redis.command(&["PTTL", &key]) {
            Value::Int(kept) => u64::try_from(kept - 86_400_000).unwrap_or(0),
            other => panic!("{other:?}"),
        };
        let first = || fleet.redis.command(&["GETRANGE", &key, "0", "0"]);
        let is_held = || first() == Value::BulkString(b"1".to_vec());
        eventually("the lock is held", async || is_held()).await;
        assert_near("lease", lease(), LEASE_MS);
        // Nobody else gets it, whatever their clocks say.
        for (other, testbed) in &fleet.instances {
            let busy = testbed.client().post(&format!("/trylock/{at}")).await;
            assert_eq!(busy.status, 409, "clock {other:+} against {skew:+}");
        }
        held.abort();
        let _ = held.await;
        eventually("the lock is free", async || !is_held()).await;
    }
    // Handed on from clock to clock, in the order of the line, with fences that only grow.
    for round in 0..4 {
        for (skew, testbed) in &fleet.instances {
            let answer = testbed.client().post("/lock/shared").await;
            assert_eq!(answer.status, 200, "clock {skew:+}");
            let fence = answer.json()["fence"].as_u64().expect("a fence");
            assert!(
                fence > last,
                "clock {skew:+}, round {round}: {fence} after {last}"
            );
            assert_near("fence, in ms", fence / 1000, now_ms(&fleet.redis));
            last = fence;
        }
    }
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..4 {
        for (_, testbed) in &fleet.instances {
            let mut client = testbed.client();
            waiters.spawn(async move {
                let answer = client.post("/lock/shared?hold_ms=20&wait_ms=60000").await;
                assert_eq!(answer.status, 200);
                answer.json()["fence"].as_u64().expect("a fence")
            });
        }
    }
    let mut fences = waiters.join_all().await;
    fences.sort_unstable();
    fences.dedup();
    assert_eq!(fences.len(), 4 * SKEWS.len());
}
