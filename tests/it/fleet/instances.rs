//! Three instances at fixed addresses, restarted one at a time.

use std::time::Duration;

use crate::support::balancer::LOOKS_AWAY;
use crate::support::redis_server::free_port;
use crate::support::testbed::{Exit, Testbed};

/// How long an instance is back before the next one leaves: the time for which nginx leaves it
/// out after a refused connect, and a little.
const MIN_READY: Duration = Duration::from_millis(1200);

/// How often the balancer may look before an instance closes: once would do on a machine where
/// everybody is on time, and on one that is full a check may come half a second late.
const LOOKS: u32 = 5;

/// A fleet on one Redis.
pub(super) struct Fleet {
    addrs: [String; 3],
    server: &'static str,
    redis: String,
    /// What each waits for an answer of Redis.
    command_timeout: Duration,
    instances: [Option<Testbed>; 3],
}

impl Fleet {
    /// One that takes no answer of Redis for lost that is late: a busy machine may stand still for a
    /// second or two.
    pub(super) async fn patient(server: &'static str, redis: String) -> Self {
        Self::start(server, redis, Duration::from_secs(5)).await
    }

    pub(super) async fn start(
        server: &'static str,
        redis: String,
        command_timeout: Duration,
    ) -> Self {
        let addrs = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let mut fleet = Self {
            addrs,
            server,
            redis,
            command_timeout,
            instances: [None, None, None],
        };
        for index in 0..fleet.instances.len() {
            fleet.come_up(index).await;
        }
        fleet
    }

    pub(super) fn addrs(&self) -> &[String; 3] {
        &self.addrs
    }

    pub(super) fn instance(&self, index: usize) -> &Testbed {
        self.instances[index].as_ref().expect("it runs")
    }

    pub(super) async fn come_up(&mut self, index: usize) {
        let settle = (LOOKS * LOOKS_AWAY).as_millis().to_string();
        let command_timeout = self.command_timeout.as_millis().to_string();
        let instance = Testbed::start(&[
            ("LISTEN", &self.addrs[index]),
            ("SERVER", self.server),
            ("REDIS_URL", &self.redis),
            ("COMMAND_TIMEOUT_MS", &command_timeout),
            ("SETTLE_MS", &settle),
            ("GRACE_MS", "20000"),
            ("LEASE_MS", "2000"),
        ])
        .await;
        instance.until("/ready", 200).await;
        self.instances[index] = Some(instance);
    }

    /// A signal, the end that it brings, and a new process at the same address.
    pub(super) async fn replace(&mut self, index: usize, signal: &str) -> Exit {
        let exit = self.end(index, signal).await;
        self.come_up(index).await;
        tokio::time::sleep(MIN_READY).await;
        exit
    }

    pub(super) async fn end(&mut self, index: usize, signal: &str) -> Exit {
        let instance = self.instances[index].take().expect("it runs");
        instance.signal(signal);
        instance.exit().await
    }
}
