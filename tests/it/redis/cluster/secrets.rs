//! Whoever logs in to a cluster does so on every node, and is not heard of.

use tower_handoff::lock::{LockKey, Locks};
use tower_handoff::redis::{RedisHandle, RedisStatus};

use super::{command, names_on};
use crate::support::eventually::eventually;
use crate::support::log::Log;
use crate::support::redis_cluster::RedisCluster;

#[tokio::test]
async fn a_user_with_few_rights_is_enough_and_its_password_shows_nowhere() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::TRACE);
    let cluster = RedisCluster::start().await;
    for node in &cluster.nodes {
        let mut user = vec!["ACL", "SETUSER", "few", "on", ">hunter2", "~app:*"];
        user.extend([
            "resetchannels",
            "&app:*",
            "+@all",
            "-@admin",
            "-cluster",
            "+cluster|info",
            "+cluster|slots",
        ]);
        node.command(&user);
    }
    let url = cluster.url().replace("://", "://few:hunter2@");
    let handle = RedisHandle::connect(&url).expect("a good url");
    handle.ping().await.expect("every node answers");
    let locks = Locks::new(handle.locks());
    for name in names_on(&cluster, |at| format!("few{at}")) {
        drop(
            locks
                .acquire(LockKey::new(&name).expect("short"))
                .await
                .expect("free"),
        );
        let mine = format!("app:{{{name}}}");
        handle
            .wire()
            .send(command(&["SET", &mine, "1"]))
            .await
            .expect("carried out");
        let other = handle.wire().send(command(&["GET", &name])).await;
        assert_eq!(other.expect_err("not its key").code(), Some("NOPERM"));
    }
    cluster.nodes[0].signal("KILL");
    eventually("it is away", async || !handle.status().is_up()).await;
    let mut shown = format!("{handle:?} {:?}", RedisHandle::builder(&url));
    if let RedisStatus::Away { reason, .. } = handle.status() {
        shown.push_str(&reason);
    }
    eventually("all is well", async || handle.status().is_up()).await;
    let log = log.text();
    assert!(log.contains("Redis is away"), "{log}");
    assert!(
        !log.contains("hunter2") && !shown.contains("hunter2"),
        "{shown} {log}"
    );
}
