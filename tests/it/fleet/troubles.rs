//! What befalls a fleet and its Redis in a soak, one thing after the other.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::instances::Fleet;
use crate::support::proxy::Proxy;
use crate::support::random::Random;
use crate::support::redis_server::{RedisServer, free_port, scratch_dir};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// `CLIENT PAUSE`.
    Pause,
    /// `DEBUG SLEEP`.
    Sleep,
    KillConnections,
    ForgetScripts,
    /// SIGSTOP and SIGCONT.
    StopRedis,
    /// SIGKILL, and started again with all that it had answered.
    RestartRedis,
    /// SIGKILL, and another instance in its place.
    KillInstance,
    /// SIGTERM, one instance after the other.
    Rollout,
    /// SIGTERM while Redis stands still.
    LeaveWithoutRedis,
    /// Every connection to Redis breaks, and new ones as well.
    Cut,
    /// Nothing arrives any more in either direction, and nobody says so: those connections are lost.
    HalfOpen,
    /// `maxmemory` is less than what is used, and nothing is evicted.
    OutOfMemory,
}

impl Trouble {
    const ALL: [Self; 12] = [
        Self::Pause,
        Self::Sleep,
        Self::KillConnections,
        Self::ForgetScripts,
        Self::StopRedis,
        Self::RestartRedis,
        Self::KillInstance,
        Self::Rollout,
        Self::LeaveWithoutRedis,
        Self::Cut,
        Self::HalfOpen,
        Self::OutOfMemory,
    ];

    /// All of them, in some order.
    pub(super) fn deck(random: &mut Random) -> [Self; 12] {
        let mut deck = Self::ALL;
        random.shuffle(&mut deck);
        deck
    }

    /// Whether requests fail whenever it comes and however short it is.
    pub(super) fn is_felt(self) -> bool {
        matches!(
            self,
            Self::RestartRedis | Self::Cut | Self::HalfOpen | Self::OutOfMemory
        )
    }
}

/// Instances that are restarted. The last one of the fleet lives from the beginning to the end:
/// what leaks, leaks there.
const MORTAL: usize = 2;

/// A Redis that keeps what it has answered, and the instances' way to it.
pub(super) struct Redis {
    server: Option<RedisServer>,
    way: Proxy,
    port: u16,
    dir: PathBuf,
}

impl Redis {
    pub(super) async fn start() -> Self {
        let (port, dir) = (free_port(), scratch_dir());
        let server = Some(RedisServer::start_durable(port, &dir, "always"));
        let way = Proxy::start(port).await;
        Self {
            server,
            way,
            port,
            dir,
        }
    }

    /// For the instances.
    pub(super) fn url(&self) -> String {
        self.way.url()
    }

    /// Closes what they have left, as Redis itself does after minutes.
    pub(super) fn forgets_lost_connections(&self) {
        self.way.clear_hole();
    }

    pub(super) fn server(&self) -> &RedisServer {
        self.server.as_ref().expect("it runs")
    }

    async fn restart(&mut self, away: Duration) {
        self.server().signal("KILL");
        self.server = None;
        sleep(away).await;
        let server = RedisServer::start_durable(self.port, &self.dir, "always");
        self.server = Some(server);
    }

    async fn has_no_memory(&self, time: Duration) {
        let set = |bytes| {
            let command = ["CONFIG", "SET", "maxmemory", bytes];
            self.server().command(&command);
        };
        set("1");
        sleep(time).await;
        set("0");
    }

    async fn stand_still(&self, time: Duration) {
        self.server().signal("STOP");
        sleep(time).await;
        self.server().signal("CONT");
    }

    /// Says something that is answered only when it is over.
    async fn tell(&self, command: &'static [&'static str], argument: String) {
        let client = redis::Client::open(self.server().url()).expect("a good url");
        let told = tokio::task::spawn_blocking(move || {
            let mut connection = client.get_connection().expect("it is up");
            let mut command = redis::cmd(command[0]).arg(&command[1..]).to_owned();
            let done = command.arg(argument).exec(&mut connection);
            done.expect("it is accepted");
        });
        told.await.expect("no panic");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.server = None;
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Brings it about and ends it. What instances said that ended is added to `logs`.
pub(super) async fn befall(
    trouble: Trouble,
    redis: &mut Redis,
    fleet: &mut Fleet,
    random: &mut Random,
    logs: &mut Vec<String>,
) {
    // Shorter than a time-out, up to longer than a lease.
    let time = random.ms(100..3_000);
    match trouble {
        Trouble::Pause => {
            let ms = time.as_millis().to_string();
            redis.tell(&["CLIENT", "PAUSE"], ms).await;
            sleep(time).await;
        }
        Trouble::Sleep => {
            let seconds = time.as_secs_f64().to_string();
            redis.tell(&["DEBUG", "SLEEP"], seconds).await;
        }
        Trouble::KillConnections => {
            for each in ["normal", "pubsub"] {
                redis.server().command(&["CLIENT", "KILL", "TYPE", each]);
            }
        }
        Trouble::ForgetScripts => drop(redis.server().command(&["SCRIPT", "FLUSH"])),
        Trouble::StopRedis => redis.stand_still(time).await,
        Trouble::RestartRedis => redis.restart(time).await,
        Trouble::KillInstance => {
            let exit = fleet.replace(random.index(MORTAL), "KILL").await;
            logs.push(exit.stderr);
        }
        Trouble::Rollout => {
            for instance in 0..MORTAL {
                let exit = fleet.replace(instance, "TERM").await;
                assert_eq!(exit.code, 0, "{exit:?}");
                logs.push(exit.stderr);
            }
        }
        Trouble::LeaveWithoutRedis => {
            let instance = random.index(MORTAL);
            let (exit, ()) = tokio::join!(fleet.end(instance, "TERM"), redis.stand_still(time));
            assert!([0, 1].contains(&exit.code), "{exit:?}");
            logs.push(exit.stderr);
            fleet.come_up(instance).await;
        }
        Trouble::Cut => {
            redis.way.sever(true);
            sleep(time).await;
            redis.way.sever(false);
        }
        Trouble::HalfOpen => {
            redis.way.black_hole(true);
            sleep(time).await;
            redis.way.black_hole(false);
        }
        Trouble::OutOfMemory => redis.has_no_memory(time).await,
    }
}
