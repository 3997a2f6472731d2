//! A Cluster that speaks TLS, also among its nodes.

use tower_handoff::redis::{AwayCause, RedisHandle, RedisStatus};

use super::command;
use crate::support::certificates::Authority;
use crate::support::redis_cluster::RedisCluster;

#[tokio::test]
async fn every_node_is_reached_over_tls_and_only_by_its_certificate() {
    let authority = Authority::new();
    let cluster = RedisCluster::start_of(|arguments| {
        let tls = ["--tls-cluster", "yes", "--tls-replication", "yes"];
        authority.redis("127.0.0.1", &[arguments, &tls].concat())
    })
    .await;
    let port = cluster.nodes[0].command(&["CONFIG", "GET", "tls-port"]);
    let (_, port): (String, u16) = redis::from_redis_value(port).expect("a port");
    let url = format!("rediss-cluster://127.0.0.1:{port}");
    let handle = RedisHandle::builder(&url)
        .tls_roots(authority.pem())
        .connect();
    let handle = handle.expect("good settings");
    handle.ping().await.expect("every node answers");
    for at in 0..30 {
        let set = command(&["SET", &format!("secured{at}"), "1"]);
        handle.wire().send(set).await.expect("carried out");
    }
    let stranger = RedisHandle::builder(&url)
        .tls_roots(Authority::new().pem())
        .connect();
    let stranger = stranger.expect("good settings");
    stranger.ping().await.expect_err("nobody it trusts");
    assert!(
        matches!(
            stranger.status(),
            RedisStatus::Away {
                cause: AwayCause::Tls,
                ..
            }
        ),
        "{:?}",
        stranger.status()
    );
}
