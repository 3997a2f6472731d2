//! What a node refuses because it comes after its time.

use std::time::Duration;

use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{SessionLayer, Users};

use super::sessions::request;
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::redis_cluster::RedisCluster;

/// As where the clocks of all nodes were set forward: each session is asked about once more, by its node's own
/// clock, and all of them end.
#[tokio::test]
async fn a_users_sessions_end_though_the_nodes_clocks_ran_away() {
    const SESSIONS: usize = 12;
    let cluster = RedisCluster::start().await;
    let builder = RedisHandle::builder(cluster.url()).command_timeout(PATIENCE);
    let handle = builder.connect().expect("a good url");
    eventually("it is up", async || handle.status().is_up()).await;
    let (wire, users) = (handle.wire(), Users::new(handle.sessions()));
    let layer = SessionLayer::new(handle.sessions());
    for _ in 0..SESSIONS {
        let log_in = async |session: tower_handoff::session::Session| {
            session.bind("ada").expect("a name");
        };
        request(&layer, "", log_in).await;
    }
    let sessions = users.sessions("ada").await.expect("listed");
    assert_eq!(sessions.len(), SESSIONS);
    // Each node knows the script.
    let scripts = || -> u64 {
        let masters = cluster.nodes[..3].iter();
        let run = masters.map(|node| node.command_counts().get("evalsha").copied());
        run.map(Option::unwrap_or_default).sum()
    };
    let before = scripts();
    let behind = PATIENCE * 3 + Duration::from_secs(1);
    let behind = u64::try_from(behind.as_millis()).expect("a minute");
    let now = wire.now_ms();
    for session in &sessions {
        wire.observe_time(&session.id().to_string(), now - behind);
    }
    let ended = users.revoke_all("ada").await.expect("ended");
    assert_eq!(ended as usize, SESSIONS);
    assert_eq!((scripts() - before) as usize, 2 * SESSIONS);
    assert!(users.sessions("ada").await.expect("listed").is_empty());
}
