//! A master, its replicas and the sentinels that watch over them: real processes of the test's own.

use std::path::PathBuf;
use std::time::Duration;

use redis::Value;

use super::eventually::{PATIENCE, eventually};
use super::redis_server::{Process, RedisServer, free_port, scratch_dir, watched};

/// The master's name.
pub(crate) const NAME: &str = "main";

/// One sentinel. Those of one group must not share a directory: each writes its own file.
pub(crate) struct Sentinel {
    process: Process,
    port: u16,
    dir: PathBuf,
}

impl Sentinel {
    /// Watches over the master on `port`, and waits until it answers itself.
    pub(crate) fn start(port: u16, quorum: usize, lines: &[&str]) -> Self {
        let (own, dir) = (free_port(), scratch_dir());
        let config = dir.join("sentinel.conf");
        let text = format!(
            "port {own}\nbind 127.0.0.1\ndir {}\n\
             sentinel monitor {NAME} 127.0.0.1 {port} {quorum}\n\
             sentinel down-after-milliseconds {NAME} 1000\n\
             sentinel failover-timeout {NAME} 3000\n\
             sentinel parallel-syncs {NAME} 2\n{}\n",
            dir.display(),
            lines.join("\n")
        );
        std::fs::write(&config, text).expect("the directory is writable");
        let mut command = watched();
        command.arg(config).arg("--sentinel");
        Self {
            process: Process::start(&mut command, "+monitor"),
            port: own,
            dir,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Runs one command on a fresh connection.
    pub(crate) fn command(&self, arguments: &[&str]) -> Value {
        let url = format!("redis://127.0.0.1:{}", self.port);
        let client = redis::Client::open(url).expect("the url is well-formed");
        let mut connection = client.get_connection().expect("the sentinel answers");
        let mut command = redis::cmd(arguments[0]);
        let asked = command.arg(&arguments[1..]).query(&mut connection);
        asked.expect("the command is accepted")
    }

    /// The port of the master, as this one knows it.
    pub(crate) fn master(&self) -> u16 {
        let address = self.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]);
        let (_, port): (String, u16) = redis::from_redis_value(address).expect("an address");
        port
    }

    /// One of the fields that it keeps of the master.
    fn field(&self, name: &str) -> String {
        let fields = self.command(&["SENTINEL", "MASTER", NAME]);
        let mut fields: std::collections::HashMap<String, String> =
            redis::from_redis_value(fields).expect("fields");
        fields.remove(name).unwrap_or_default()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.process.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The first of the servers is the master to begin with.
pub(crate) struct Watched {
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<Sentinel>,
}

impl Watched {
    /// A master, two replicas and three sentinels, once all of them know one another.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further lines in the sentinels' configuration. Every server has the users `sentinel` and
    /// `app`, with the password `pw`, beside the default one.
    pub(crate) async fn start_with(lines: &[&str]) -> Self {
        let master = server("");
        let replica = || server(&format!("--replicaof 127.0.0.1 {}", master.port()));
        let servers = vec![replica(), replica()];
        let servers: Vec<_> = std::iter::once(master).chain(servers).collect();
        let port = servers[0].port();
        let sentinels = (0..3).map(|_| Sentinel::start(port, 2, lines)).collect();
        let all = Self { servers, sentinels };
        eventually("replicas and sentinels know one another", async || {
            all.is_whole(port)
        })
        .await;
        all
    }

    /// Whether every sentinel names this master, and knows two replicas that follow it and two
    /// other sentinels.
    fn is_whole(&self, master: u16) -> bool {
        let known = |sentinel: &Sentinel| {
            sentinel.master() == master
                && sentinel.field("num-slaves") == "2"
                && sentinel.field("num-other-sentinels") == "2"
        };
        let replicas = self.server(master).command(&["INFO", "replication"]);
        let replicas: String = redis::from_redis_value(replicas).expect("text");
        replicas.matches("state=online").count() == 2 && self.sentinels.iter().all(known)
    }

    /// Waits until there may be another fail-over. Sentinels look at replicas every ten seconds, and
    /// on a busy machine they may think a master dead that is not.
    pub(crate) async fn settles(&self) {
        let whole = async {
            while !self.is_whole(self.master()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let settled = tokio::time::timeout(4 * PATIENCE, whole).await;
        settled.expect("replicas and sentinels know one another again");
    }

    /// The sentinels, all of which live, take a master for dead that has said nothing for so long. At first
    /// it is a second.
    pub(crate) fn fails_over_after(&self, silence: Duration) {
        let ms = silence.as_millis().to_string();
        for sentinel in &self.sentinels {
            sentinel.command(&["SENTINEL", "SET", NAME, "down-after-milliseconds", &ms]);
        }
    }

    pub(crate) fn server(&self, port: u16) -> &RedisServer {
        let found = self.servers.iter().find(|server| server.port() == port);
        found.expect("one of these servers")
    }

    /// `redis-sentinel://127.0.0.1:…,127.0.0.1:…,127.0.0.1:…/main`
    pub(crate) fn url(&self) -> String {
        let ports: Vec<_> = self.sentinels.iter().map(Sentinel::port).collect();
        url(&ports)
    }

    /// The port of the master, as the majority of the sentinels knows it.
    pub(crate) fn master(&self) -> u16 {
        let mut ports: Vec<_> = self.sentinels.iter().map(Sentinel::master).collect();
        ports.sort_unstable();
        ports[ports.len() / 2]
    }
}

fn server(more: &str) -> RedisServer {
    let user = |name| format!("--user {name} on >pw ~* &* +@all");
    let users = [user("sentinel"), user("app")].join(" ");
    // Replicas need not wait for one another before they are sent the data.
    let words = format!("{users} --repl-diskless-sync-delay 0 {more}");
    let words: Vec<_> = words.split_whitespace().collect();
    RedisServer::start_on(free_port(), &words)
}

/// Sentinels on these ports of this machine.
pub(crate) fn url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    format!("redis-sentinel://{}/{NAME}", hosts.join(","))
}
