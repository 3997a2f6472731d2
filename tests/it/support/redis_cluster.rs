//! A real Redis Cluster of the test's own: three masters, a replica for each.

use std::sync::{Arc, Weak};

use redis::{Value, from_redis_value};
use tokio::sync::Mutex;

use super::eventually::eventually;
use super::quiet_port::quiet_port;
use super::redis_server::RedisServer;
use super::redis_server::binary::version;

const MASTERS: usize = 3;
const SLOTS: u16 = 16_384;

/// How many slots each master has, and which of them each replica follows.
struct Plan<'a> {
    shares: [u16; MASTERS],
    followed: &'a [usize],
}

const USUAL: Plan<'_> = Plan {
    shares: [SLOTS / 3, SLOTS / 3, SLOTS - 2 * (SLOTS / 3)],
    followed: &[0, 1, 2],
};

/// Three masters, for there has to be a majority that votes.
const ON_THE_FIRST: Plan<'_> = Plan {
    shares: [SLOTS - 2, 1, 1],
    followed: &[0, 1, 2, 0],
};

/// Its nodes declare each other dead after a second. One that is dead does not end the service of
/// the others (`cluster-require-full-coverage no`).
pub(crate) struct RedisCluster {
    /// The masters first; the replica of each is so many places behind it, and then come further ones.
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub(crate) async fn start() -> Self {
        Self::start_of(start_one).await
    }

    /// The first master has all slots but two, and two replicas: the one that takes over has one of its
    /// own.
    pub(crate) async fn start_on_the_first() -> Self {
        Self::start_as(ON_THE_FIRST, start_one).await
    }

    /// Of servers that `start` starts, each with the port that the others know it by.
    pub(crate) async fn start_of(start: impl Fn(&[&str]) -> (RedisServer, u16)) -> Self {
        Self::start_as(USUAL, start).await
    }

    async fn start_as(plan: Plan<'_>, start: impl Fn(&[&str]) -> (RedisServer, u16)) -> Self {
        let Plan { shares, followed } = plan;
        let size = MASTERS + followed.len();
        let mut bus: Vec<u16> = (0..size).map(|_| quiet_port()).collect();
        let has_bus_option = version() >= (7, 0);
        let started = bus.iter().map(|bus| {
            let bus = bus.to_string();
            let mut arguments = vec!["--cluster-enabled", "yes"];
            if has_bus_option {
                arguments.extend(["--cluster-port", &bus]);
            }
            arguments.extend(["--cluster-node-timeout", "1000"]);
            arguments.extend(["--cluster-require-full-coverage", "no"]);
            arguments.extend(["--cluster-replica-validity-factor", "0"]);
            arguments.extend(["--repl-diskless-sync-delay", "0"]);
            arguments.extend(["--cluster-announce-ip", "127.0.0.1"]);
            start(&arguments)
        });
        let (nodes, ports) = started.unzip();
        let (cluster, ports): (_, Vec<u16>) = (Self { nodes }, ports);
        if !has_bus_option {
            bus = ports.iter().map(|port| port + 10_000).collect();
        }
        let known = format!("cluster_known_nodes:{size}");
        for (at, node) in cluster.nodes.iter().enumerate() {
            let epoch = (at + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if at < MASTERS {
                let first: u16 = shares[..at].iter().sum();
                let slots = first..first + shares[at];
                // `ADDSLOTSRANGE` came with 7.0.
                let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
                let mut add = vec!["CLUSTER", "ADDSLOTS"];
                add.extend(slots.iter().map(String::as_str));
                node.command(&add);
            }
            for (port, bus) in ports[..at].iter().zip(&bus) {
                let (port, bus) = (port.to_string(), bus.to_string());
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
        cluster
            .wait("the nodes know each other", |node| {
                node.info().contains(&known) && node.info().contains("cluster_state:ok")
            })
            .await;
        for (at, master) in followed.iter().enumerate() {
            let master = cluster.nodes[*master].id();
            cluster.nodes[MASTERS + at].command(&["CLUSTER", "REPLICATE", &master]);
        }
        cluster
            .wait("every master has a replica", |node| {
                let shards = text(node.command(&["CLUSTER", "NODES"]));
                let linked = text(node.command(&["INFO", "replication"]));
                shards.matches("slave").count() == followed.len()
                    && (linked.contains("master_link_status:up") || linked.contains("state=online"))
            })
            .await;
        cluster
    }

    /// One that several tests use at once, none of which harms it.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisCluster>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = (self.nodes.iter())
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis-cluster://{}", hosts.join(","))
    }

    pub(crate) fn slot_of(&self, key: &str) -> u16 {
        from_redis_value(self.nodes[0].command(&["CLUSTER", "KEYSLOT", key])).expect("a slot")
    }

    /// The place of whoever has the slot, as the node at `asked` sees it.
    pub(crate) fn owner_by(&self, asked: usize, slot: u16) -> usize {
        let slots = self.nodes[asked].command(&["CLUSTER", "SLOTS"]);
        let slots: Vec<Vec<Value>> = from_redis_value(slots).expect("slots");
        let port = slots.into_iter().find_map(|range| {
            let mut parts = range.into_iter();
            let first: u16 = from_redis_value(parts.next()?).ok()?;
            let last: u16 = from_redis_value(parts.next()?).ok()?;
            // The master, with more said of it by later versions.
            let master: Vec<Value> = from_redis_value(parts.next()?).ok()?;
            let port: u16 = from_redis_value(master.into_iter().nth(1)?).ok()?;
            (first..=last).contains(&slot).then_some(port)
        });
        let port = port.expect("somebody has the slot");
        let found = self.nodes.iter().position(|node| node.port() == port);
        found.expect("a node of this cluster")
    }

    /// The place of whoever says that the slot is its own.
    pub(crate) fn owner(&self, slot: u16) -> usize {
        let mut nodes = 0..self.nodes.len();
        let owner = nodes.find(|node| self.owner_by(*node, slot) == *node);
        owner.expect("somebody has the slot")
    }

    /// Opens the slot's way to another master: the new one first, as the tools do.
    pub(crate) fn begin_move(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        let slot = slot.to_string();
        let (source, target) = (self.nodes[from].id(), self.nodes[to].id());
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]);
    }

    /// Moves every key that is in the slot.
    pub(crate) fn move_keys(&self, slot: u16, to: usize) {
        let from = &self.nodes[self.owner(slot)];
        let port = self.nodes[to].port().to_string();
        let count = ["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "1000"];
        let keys: Vec<String> = from_redis_value(from.command(&count)).expect("keys");
        if !keys.is_empty() {
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            command.extend(keys.iter().map(String::as_str));
            from.command(&command);
        }
    }

    /// Says who has the slot now: the new owner first.
    pub(crate) fn end_move(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        let id = self.nodes[to].id();
        let slot = slot.to_string();
        for at in [to, from] {
            self.nodes[at].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }

    /// Moves a slot with all that is in it.
    pub(crate) fn move_slot(&self, slot: u16, to: usize) {
        self.begin_move(slot, to);
        self.move_keys(slot, to);
        self.end_move(slot, to);
    }

    /// Has a replica take over while all is well. The masters may not give it their votes at once.
    pub(crate) async fn fail_over(&self, slot: u16, to: usize) {
        let old = self.owner_by(to, slot);
        let mut asked = 0;
        eventually("the replica is the master", async || {
            let done = (0..self.nodes.len()).all(|node| self.owner_by(node, slot) == to);
            if !done && self.owner_by(to, slot) != to && asked % 200 == 0 {
                self.nodes[to].command(&["CLUSTER", "FAILOVER"]);
            }
            asked += 1;
            done
        })
        .await;
        eventually("the old one follows", async || {
            let role = text(self.nodes[old].command(&["INFO", "replication"]));
            role.contains("master_link_status:up")
        })
        .await;
    }

    /// Whether replicas take over by themselves; all nodes live.
    pub(crate) fn replaces_the_dead(&self, replaces: bool) {
        let never = if replaces { "no" } else { "yes" };
        for node in &self.nodes[MASTERS..] {
            node.command(&["CONFIG", "SET", "cluster-replica-no-failover", never]);
        }
    }

    /// Whether the node takes itself for a master.
    pub(crate) fn is_master(&self, node: usize) -> bool {
        text(self.nodes[node].command(&["INFO", "replication"])).contains("role:master")
    }

    /// How often the nodes were asked for their slots.
    pub(crate) fn looks(&self) -> u64 {
        let counts = self.nodes.iter().map(|node| node.command_counts());
        // Before 7.0 all of `CLUSTER` is counted as one, and a look is two such commands.
        let looks = counts.filter_map(|counts| {
            let all = counts.get("cluster").map(|all| all / 2);
            counts.get("cluster|slots").copied().or(all)
        });
        looks.sum()
    }

    async fn wait(&self, what: &str, holds: impl Fn(&RedisServer) -> bool) {
        eventually(what, async || self.nodes.iter().all(&holds)).await;
    }
}

impl RedisServer {
    fn id(&self) -> String {
        text(self.command(&["CLUSTER", "MYID"]))
    }

    fn info(&self) -> String {
        text(self.command(&["CLUSTER", "INFO"]))
    }
}

fn start_one(arguments: &[&str]) -> (RedisServer, u16) {
    let port = quiet_port();
    (RedisServer::start_on(port, arguments), port)
}

fn text(value: Value) -> String {
    from_redis_value(value).expect("text")
}
