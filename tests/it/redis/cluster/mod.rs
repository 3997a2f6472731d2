//! Redis Cluster: commands find their node, whatever the cluster does with slots and masters.

mod cells;
mod contracts;
mod degraded;
mod fail_over;
mod lists;
mod locks;
mod on_the_way;
mod reconnects;
mod redirects;
mod replicas;
mod routing;
mod secrets;
mod sessions;
#[cfg(feature = "tls-rustls")]
mod tls;

use tower_handoff::redis::RedisHandle;

use crate::support::eventually::eventually;
use crate::support::redis_cluster::RedisCluster;

fn command(words: &[&str]) -> redis::Cmd {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command
}

async fn connect(cluster: &RedisCluster) -> RedisHandle {
    let handle = RedisHandle::connect(&cluster.url()).expect("a good url");
    eventually("it is up", async || handle.status().is_up()).await;
    handle
}

/// Such a name for each master, in its order.
fn names_on(cluster: &RedisCluster, name: impl Fn(usize) -> String) -> [String; 3] {
    [0, 1, 2].map(|node| {
        let mut names = (0..1000).map(&name);
        let here = |name: &String| cluster.owner(cluster.slot_of(name)) == node;
        names.find(here).expect("one of a thousand")
    })
}
