//! What requests leave behind that fail because one master of a Cluster is away, or a slot is on its way.

use futures_util::future::join_all;
use redis::cmd;

use super::outage::{ASKS, Visitors, block_on, bytes, is_flat};
use super::redis_cluster::RedisCluster;
use super::*;

/// Of the first master, which goes.
const GONE: std::ops::Range<u16> = 0..5461;
/// Of the second, which stays.
const THERE: std::ops::Range<u16> = 5461..10922;

/// CRC16 (XMODEM) of a tag, as Redis has it.
fn slot(tag: &str) -> u16 {
    let bit = |crc: u16, _| match crc & 0x8000 {
        0 => crc << 1,
        _ => crc << 1 ^ 0x1021,
    };
    let byte = |crc: u16, byte| (0..8).fold(crc ^ u16::from(byte) << 8, bit);
    tag.bytes().fold(0, byte) % 16_384
}

/// Another one for each number, of a lock and of a job.
fn name_in(slots: &std::ops::Range<u16>, number: usize) -> String {
    let mut names = (0..).map(|chance| format!("{number}-{chance}"));
    let here =
        |name: &String| [name, &format!("once:{name}")].map(|tag| slots.contains(&slot(tag)));
    names
        .find(|name| here(name) == [true; 2])
        .expect("one of many")
}

/// A session on the first master.
async fn cookie_there(cluster: &RedisCluster, sessions: &SessionLayer) -> HeaderValue {
    let count = || cluster.nodes[0].command(&["DBSIZE"]);
    for _ in 0..100 {
        let before = count();
        let cookie = ten_fields(sessions).await;
        if count() != before {
            return cookie;
        }
    }
    panic!("one of a hundred is there");
}

#[test]
fn requests_that_a_cluster_fails_whose_master_is_dead_leave_nothing() {
    const WARM: usize = 1_000;
    const REQUESTS: usize = 5_000;
    const AT_ONCE: usize = 100;
    block_on(async {
        let cluster = RedisCluster::start().await;
        let redis = RedisHandle::connect(&cluster.url()).expect("a good url");
        let sessions = SessionLayer::new(redis.sessions());
        let cookie = cookie_there(&cluster, &sessions).await;
        // One slot goes to a master that lives and has one of its keys, and another to the one that is to die.
        let [half, lost] = [0, 1].map(|number| name_in(&THERE, number));
        cluster.nodes[1].command(&["SET", &format!("{{{half}}}:a"), "x"]);
        cluster.begin_move(slot(&half), 2);
        cluster.begin_move(slot(&lost), 0);
        for node in [0, 3] {
            cluster.nodes[node].signal("KILL");
        }
        let visitors = Visitors {
            redis: redis.clone(),
            sessions,
            cookie,
            name: |number| name_in(&GONE, number),
        };
        visitors.know_that_it_is_away().await;
        let wire = redis.wire();
        // Sent again and again, in vain.
        let at_once = async || {
            let asked = (0..AT_ONCE).map(|_| {
                let keys = [format!("{{{half}}}:a"), format!("{{{half}}}:b")];
                wire.send(cmd("MGET").arg(&keys).take())
            });
            for answer in join_all(asked).await {
                answer.expect_err("one is here, the other elsewhere");
            }
        };
        // Sent on to whoever is dead.
        let sent_on = async |number: usize| {
            let answer = wire.send(cmd("GET").arg(format!("{{{lost}}}:{number}")).take());
            answer.await.expect_err("it may be there");
        };
        visitors.fail(0..WARM, &ASKS).await;
        for number in 0..WARM {
            sent_on(number).await;
        }
        at_once().await;
        let before = bytes();
        visitors.fail(WARM..WARM + REQUESTS, &ASKS).await;
        for number in 0..REQUESTS {
            sent_on(number).await;
        }
        is_flat("Cluster", before, 2 * REQUESTS);
        let before = bytes();
        for _ in 0..5 {
            at_once().await;
        }
        is_flat("half-way", before, 5 * AT_ONCE);
    });
}
