//! The gauge of a process with several Redis, in a process of its own: other tests have theirs.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "it/support"]
mod support {
    pub(crate) mod eventually;
    #[cfg(feature = "cluster")]
    pub(crate) mod quiet_port;
    #[cfg(feature = "cluster")]
    pub(crate) mod redis_cluster;
    pub(crate) mod redis_server;
}

use metrics_exporter_prometheus::PrometheusBuilder;
use tower_handoff::redis::RedisHandle;

use support::eventually::eventually;
use support::redis_server::RedisServer;

fn connect(url: &str) -> RedisHandle {
    RedisHandle::connect(url).expect("a good url")
}

#[test]
fn the_gauge_is_up_while_all_that_are_open_are() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let scrape = recorder.handle();
    let gauge = |value: &str| {
        let line = format!("tower_handoff_redis_up {value}");
        scrape.render().lines().any(|own| own == line)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let (old, new) = (RedisServer::start(), RedisServer::start());
            let (blue, green) = (connect(&old.url()), connect(&new.url()));
            eventually("both are up", async || {
                blue.status().is_up() && green.status().is_up()
            })
            .await;
            assert!(gauge("1"), "{}", scrape.render());
            blue.close().await;
            assert!(gauge("1"), "the other one is up: {}", scrape.render());

            let port = new.port();
            drop(new);
            eventually("it is away", async || gauge("0")).await;
            let _new = RedisServer::start_on(port, &[]);
            eventually("it is back", async || gauge("1")).await;

            let nobody = connect("redis://127.0.0.1:1");
            eventually("one of two is away", async || gauge("0")).await;
            drop(nobody);
            eventually("the one that is left is up", async || gauge("1")).await;

            #[cfg(feature = "cluster")]
            {
                let cluster = support::redis_cluster::RedisCluster::start().await;
                let many = connect(&cluster.url());
                eventually("its nodes are up", async || many.status().is_up()).await;
                eventually("all are up", async || gauge("1")).await;
                green.close().await;
                assert!(gauge("1"), "the Cluster is up: {}", scrape.render());
                many.close().await;
            }
            #[cfg(not(feature = "cluster"))]
            green.close().await;
            eventually("none is open", async || gauge("0")).await;
        });
    });
}
