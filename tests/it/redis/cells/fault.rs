//! How each fault begins and ends.

use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tower_handoff::redis::{RedisBuilder, RedisHandle};

use crate::support::bad_line::{BadLine, Halved};
#[cfg(feature = "tls-rustls")]
use crate::support::certificates::Authority;
use crate::support::eventually::eventually;
use crate::support::proxy::Proxy;
use crate::support::redis_server::{RedisServer, free_port, scratch_dir};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGTERM, and started again with its append-only file.
    Stopped,
    /// SIGKILL, and started again with nothing.
    KilledEmpty,
    /// SIGKILL, and started again with its append-only file, written as `appendfsync` says.
    KilledWithAof(&'static str),
    /// SIGSTOP for so many seconds.
    Paused(u64),
    /// Connections break, and new ones as well.
    Cut,
    /// Nothing arrives any more, and nobody says so.
    HalfOpen,
    /// Whatever is asked arrives, and no answer comes back.
    AnswersLost,
    /// Nothing that is asked arrives, and messages still come.
    RequestsLost,
    /// Connections end in the middle of what is asked or answered.
    Halved(Halved),
    Slow(Duration),
    OutOfMemory,
    TooFewReplicas,
    SnapshotsFail,
    /// It became a replica of a master that it does not find, and goes on serving reads.
    ReadOnly,
    /// As before, and it does not serve what may be out of date.
    MasterDown,
    Loading,
    NoAuth,
    ScriptFlush,
}

/// What is between the site and Redis.
enum Way {
    Straight,
    Proxy(Proxy),
    BadLine(BadLine),
}

impl Way {
    async fn to(port: u16, fault: Fault) -> Self {
        match fault {
            Fault::Cut | Fault::HalfOpen => Self::Proxy(Proxy::start(port).await),
            Fault::AnswersLost | Fault::RequestsLost | Fault::Halved(_) | Fault::Slow(_) => {
                Self::BadLine(BadLine::start(port).await)
            }
            _ => Self::Straight,
        }
    }
}

/// Redis, and all that is needed to break and to mend it.
pub(super) struct World {
    fault: Fault,
    server: Option<RedisServer>,
    port: u16,
    dir: PathBuf,
    way: Way,
    begun: Instant,
    reload: Option<JoinHandle<()>>,
    /// Who vouches for the server, and the port where it speaks TLS.
    #[cfg(feature = "tls-rustls")]
    tls: Option<(Authority, u16)>,
}

pub(super) const SNAPSHOT: &str = "snapshot";

impl World {
    pub(super) async fn start(fault: Fault) -> Self {
        let mut world = Self {
            fault,
            server: None,
            port: free_port(),
            dir: scratch_dir(),
            way: Way::Straight,
            begun: Instant::now(),
            reload: None,
            #[cfg(feature = "tls-rustls")]
            tls: None,
        };
        world.start_server();
        world.way = Way::to(world.port, fault).await;
        world
    }

    /// With a server that speaks TLS too, and a site that speaks nothing else. For faults in which the
    /// server goes on.
    #[cfg(feature = "tls-rustls")]
    pub(super) async fn start_over_tls(fault: Fault) -> Self {
        let authority = Authority::new();
        let (server, port) = authority.redis("127.0.0.1", &[]);
        Self {
            fault,
            port: server.port(),
            server: Some(server),
            dir: scratch_dir(),
            way: Way::to(port, fault).await,
            begun: Instant::now(),
            reload: None,
            tls: Some((authority, port)),
        }
    }

    fn start_server(&mut self) {
        let durable = |fsync| RedisServer::start_durable(self.port, &self.dir, fsync);
        self.server = Some(match self.fault {
            Fault::Stopped => durable("always"),
            Fault::KilledWithAof(fsync) => durable(fsync),
            _ => RedisServer::start_on(self.port, &["--dbfilename", SNAPSHOT]),
        });
    }

    pub(super) fn server(&self) -> &RedisServer {
        self.server.as_ref().expect("it runs")
    }

    /// The site's way to Redis.
    pub(super) fn redis(&self) -> RedisBuilder {
        let url = match &self.way {
            Way::Straight => self.straight(),
            Way::Proxy(proxy) => proxy.url(),
            Way::BadLine(line) => line.url(),
        };
        #[cfg(feature = "tls-rustls")]
        if let Some((authority, port)) = &self.tls {
            let url = match &self.way {
                Way::Straight => format!("redis://127.0.0.1:{port}"),
                _ => url,
            };
            let url = url.replace("redis://", "rediss://");
            return RedisHandle::builder(url).tls_roots(authority.pem());
        }
        RedisHandle::builder(url)
    }

    pub(super) fn straight(&self) -> String {
        self.server().url()
    }

    fn set(&self, options: &[&str]) {
        self.server()
            .command(&[&["CONFIG", "SET"], options].concat());
    }

    fn follow_nobody(&self) {
        let port = free_port().to_string();
        self.server().command(&["REPLICAOF", "127.0.0.1", &port]);
    }

    pub(super) async fn begin(&mut self) {
        self.begun = Instant::now();
        match (self.fault, &self.way) {
            (Fault::Stopped, _) => self.goes_by("TERM").await,
            (Fault::KilledWithAof("everysec"), _) => {
                self.is_written().await;
                self.goes_by("KILL").await;
            }
            (Fault::KilledEmpty | Fault::KilledWithAof(_), _) => self.goes_by("KILL").await,
            (Fault::Paused(_), _) => self.server().signal("STOP"),
            (Fault::Cut, Way::Proxy(proxy)) => proxy.sever(true),
            (Fault::HalfOpen, Way::Proxy(proxy)) => proxy.black_hole(true),
            (Fault::AnswersLost, Way::BadLine(line)) => line.swallow(true),
            (Fault::RequestsLost, Way::BadLine(line)) => line.lose(true),
            (Fault::Halved(what), Way::BadLine(line)) => line.halve(Some(what)),
            (Fault::Slow(delay), Way::BadLine(line)) => line.delay(delay),
            (Fault::OutOfMemory, _) => self.set(&["maxmemory", "1"]),
            (Fault::TooFewReplicas, _) => self.set(&["min-replicas-to-write", "1"]),
            (Fault::SnapshotsFail, _) => fail_to_save(self.server()).await,
            (Fault::ReadOnly, _) => self.follow_nobody(),
            (Fault::MasterDown, _) => {
                self.set(&["replica-serve-stale-data", "no"]);
                self.follow_nobody();
            }
            (Fault::Loading, _) => self.load().await,
            (Fault::NoAuth, _) => {
                self.set(&["requirepass", "secret"]);
                // Who has subscribed to something is of another type.
                for each in ["normal", "pubsub"] {
                    self.as_admin(&["CLIENT", "KILL", "TYPE", each]);
                }
            }
            (Fault::ScriptFlush, _) => drop(self.server().command(&["SCRIPT", "FLUSH"])),
            (fault, _) => unreachable!("{fault:?} is nothing for this way to Redis"),
        }
    }

    pub(super) async fn end(&mut self) {
        match (self.fault, &self.way) {
            (Fault::Stopped | Fault::KilledEmpty | Fault::KilledWithAof(_), _) => {
                drop(self.server.take());
                self.start_server();
            }
            (Fault::Paused(seconds), _) => {
                sleep_until(self.begun + Duration::from_secs(seconds)).await;
                self.server().signal("CONT");
            }
            (Fault::Cut, Way::Proxy(proxy)) => proxy.sever(false),
            (Fault::HalfOpen, Way::Proxy(proxy)) => {
                proxy.black_hole(false);
                // What is in the hole would stay there as long as the proxy lives.
                proxy.cut();
            }
            (Fault::AnswersLost, Way::BadLine(line)) => {
                line.swallow(false);
                line.cut();
            }
            (Fault::RequestsLost, Way::BadLine(line)) => {
                line.lose(false);
                line.cut();
            }
            (Fault::Halved(_), Way::BadLine(line)) => line.halve(None),
            (Fault::Slow(_), Way::BadLine(line)) => line.delay(Duration::ZERO),
            (Fault::OutOfMemory, _) => self.set(&["maxmemory", "0"]),
            (Fault::TooFewReplicas, _) => self.set(&["min-replicas-to-write", "0"]),
            (Fault::SnapshotsFail, _) => self.set(&["save", ""]),
            (Fault::ReadOnly | Fault::MasterDown, _) => {
                self.server().command(&["REPLICAOF", "NO", "ONE"]);
            }
            (Fault::Loading, _) => {
                self.set(&["key-load-delay", "0"]);
                let reload = self.reload.take().expect("it has begun");
                reload.await.expect("it ends");
            }
            (Fault::NoAuth, _) => self.as_admin(&["CONFIG", "SET", "requirepass", ""]),
            (Fault::ScriptFlush, _) => {}
            (fault, _) => unreachable!("{fault:?} is nothing for this way to Redis"),
        }
    }

    /// The signal, and the end of the process.
    async fn goes_by(&self, signal: &str) {
        self.server().signal(signal);
        eventually("nobody listens", async || {
            TcpStream::connect(("127.0.0.1", self.port)).await.is_err()
        })
        .await;
    }

    /// What `everysec` promises only a second or two later: the file has all that was answered.
    async fn is_written(&self) {
        eventually("the file is written and synced", async || {
            let info = info(self.server());
            info.contains("aof_buffer_length:0\r") && info.contains("aof_pending_bio_fsync:0\r")
        })
        .await;
    }

    /// Redis reads its data anew, for as long as it is not told to make haste.
    async fn load(&mut self) {
        self.server().is_slow_to_load("60000");
        let url = self.straight();
        self.reload = Some(tokio::task::spawn_blocking(move || {
            let client = redis::Client::open(url).expect("a good url");
            let mut connection = client.get_connection().expect("it is up");
            let reload = redis::cmd("DEBUG").arg("RELOAD").query(&mut connection);
            let (): () = reload.expect("it reads what it has written");
        }));
        eventually("Redis loads", async || {
            info(self.server()).contains("\nloading:1")
        })
        .await;
    }

    fn as_admin(&self, command: &[&str]) {
        let url = format!("redis://:secret@127.0.0.1:{}", self.port);
        let client = redis::Client::open(url).expect("a good url");
        let mut connection = client.get_connection().expect("it is up");
        let done = redis::cmd(command[0])
            .arg(&command[1..])
            .exec(&mut connection);
        done.expect("the command is accepted");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn info(server: &RedisServer) -> String {
    redis::from_redis_value(server.command(&["INFO", "persistence"])).expect("text")
}

/// A snapshot cannot be written: a directory lies where it should go.
pub(super) async fn fail_to_save(server: &RedisServer) {
    let dir = server.command(&["CONFIG", "GET", "dir"]);
    let (_, dir): (String, String) = redis::from_redis_value(dir).expect("a pair");
    std::fs::create_dir_all(format!("{dir}/{SNAPSHOT}")).expect("it is writable");
    server.command(&["CONFIG", "SET", "save", "3600 1"]);
    server.command(&["BGSAVE"]);
    eventually("the snapshot fails", async || {
        info(server).contains("rdb_last_bgsave_status:err")
    })
    .await;
}
