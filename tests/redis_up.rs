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

use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use tower_handoff::redis::RedisHandle;

use support::eventually::eventually;
use support::redis_server::RedisServer;

/// All that the gauge ever said.
#[derive(Clone, Default)]
struct History(Arc<Mutex<Vec<f64>>>);

impl History {
    fn said(&self) -> MutexGuard<'_, Vec<f64>> {
        self.0.lock().expect("no panic")
    }

    fn is(&self, value: f64) -> bool {
        self.said().last() == Some(&value)
    }

    /// Forgotten with this, but for what it says now.
    #[cfg(feature = "cluster")]
    fn take(&self) -> Vec<f64> {
        let mut said = self.said();
        let last = said.last().copied();
        std::mem::replace(&mut *said, last.into_iter().collect())
    }
}

impl GaugeFn for History {
    fn set(&self, value: f64) {
        self.said().push(value);
    }

    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}
}

impl Recorder for History {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match key.name() {
            "tower_handoff_redis_up" => Gauge::from_arc(Arc::new(self.clone())),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn connect(url: &str) -> RedisHandle {
    RedisHandle::connect(url).expect("a good url")
}

#[test]
fn the_gauge_is_up_while_all_that_are_open_are() {
    let gauge = History::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    metrics::with_local_recorder(&gauge, || {
        runtime.block_on(async {
            let (old, new) = (RedisServer::start(), RedisServer::start());
            let (blue, green) = (connect(&old.url()), connect(&new.url()));
            eventually("both are up", async || {
                blue.status().is_up() && green.status().is_up()
            })
            .await;
            assert!(gauge.is(1.0));
            blue.close().await;
            assert!(gauge.is(1.0), "the other one is up");

            let port = new.port();
            drop(new);
            eventually("it is away", async || gauge.is(0.0)).await;
            let _new = RedisServer::start_on(port, &[]);
            eventually("it is back", async || gauge.is(1.0)).await;

            let nobody = connect("redis://127.0.0.1:1");
            eventually("one of two is away", async || gauge.is(0.0)).await;
            drop(nobody);
            eventually("the one that is left is up", async || gauge.is(1.0)).await;

            #[cfg(feature = "cluster")]
            {
                let cluster = support::redis_cluster::RedisCluster::start().await;
                gauge.take();
                let many = connect(&cluster.url());
                eventually("its nodes are up", async || many.status().is_up()).await;
                eventually("it counts", async || gauge.said().len() > 1).await;
                let said = gauge.take();
                assert!(
                    !said.contains(&0.0),
                    "nothing is known to be away: {said:?}"
                );

                let nobody = connect("redis-cluster://127.0.0.1:1");
                eventually("a Cluster of nobody is away", async || gauge.is(0.0)).await;
                drop(nobody);
                eventually("the others are up", async || gauge.is(1.0)).await;
                green.close().await;
                assert!(gauge.is(1.0), "the Cluster is up");
                for node in [3, 0] {
                    cluster.nodes[node].signal("KILL");
                }
                eventually("a node is away", async || gauge.is(0.0)).await;
                many.close().await;
            }
            #[cfg(not(feature = "cluster"))]
            green.close().await;
            eventually("none is open", async || gauge.is(0.0)).await;
        });
    });
}
