//! The ways to hold a lock on one key that are compared.

use std::sync::Arc;
use std::time::Duration;

use tower_handoff::lock::{Acquired, Claim, LeaseTime, LockBackend, LockKey, RedisLocks};
use tower_handoff::redis::Wire;

use crate::Error;

const LEASE: Duration = Duration::from_secs(10);
const LEAST: [&str; 2] = [
    "local time = redis.call('TIME') redis.call('GET', KEYS[1]) \
     redis.call('SET', KEYS[1], ARGV[1] .. time[1], 'PX', ARGV[2]) return 1",
    "redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], '0', 'KEEPTTL') return 1",
];
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `SET NX PX` and a compare-and-delete, by hand. It cannot wait.
    Raw,
    /// The same commands over the connection that tower-handoff supervises: what that costs.
    RawSupervised,
    /// By hand, in the least of scripts: one that reads the clock and the value and writes it, one
    /// that reads the value and writes it. What a fence costs in whatever client.
    LeastScript,
    /// One handle a process: its tasks share one place in Redis's line.
    Handoff,
    /// A handle for each task, so that every lock passes on through Redis.
    HandoffApart,
    Rslock,
}

impl Way {
    const ALL: [Self; 6] = [
        Self::Raw,
        Self::RawSupervised,
        Self::LeastScript,
        Self::Handoff,
        Self::HandoffApart,
        Self::Rslock,
    ];
    /// Those that can wait, and in the end what they are compared with.
    pub const WAITING: [Self; 3] = [Self::Handoff, Self::HandoffApart, Self::Rslock];

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::RawSupervised => "raw, supervised",
            Self::LeastScript => "least script",
            Self::Handoff => "tower-handoff",
            Self::HandoffApart => "tower-handoff-apart",
            Self::Rslock => "rslock",
        }
    }

    pub fn of_name(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|way| way.name() == name);
        found.ok_or_else(|| format!("{name:?} is no lock").into())
    }
}

/// What the tasks of one process lock with.
pub struct Locks {
    way: Way,
    url: String,
    first: Lock,
}

impl Locks {
    pub async fn open(way: Way, url: &str) -> Result<Self, Error> {
        Ok(Self {
            way,
            url: url.to_owned(),
            first: Lock::open(way, url).await?,
        })
    }

    /// For one more task.
    pub async fn task(&self) -> Result<Lock, Error> {
        match self.way {
            Way::HandoffApart => Lock::open(self.way, &self.url).await,
            _ => Ok(self.first.clone()),
        }
    }
}

#[derive(Clone)]
pub enum Lock {
    Raw(redis::aio::MultiplexedConnection, Arc<redis::Script>),
    RawSupervised(Wire, Arc<redis::Script>),
    LeastScript(redis::aio::MultiplexedConnection, Arc<[redis::Script; 2]>),
    Handoff(RedisLocks),
    Rslock(rslock::LockManager),
}

impl Lock {
    pub async fn open(way: Way, url: &str) -> Result<Self, Error> {
        Ok(match way {
            Way::Raw => Self::Raw(connect(url).await?, Arc::new(redis::Script::new(RELEASE))),
            Way::RawSupervised => {
                let script = redis::Script::new(RELEASE);
                let mut connection = connect(url).await?;
                script.prepare_invoke().load_async(&mut connection).await?;
                let handle = tower_handoff::RedisHandle::connect(url)?;
                handle.ping().await?;
                Self::RawSupervised(handle.wire(), Arc::new(script))
            }
            Way::LeastScript => {
                let scripts = LEAST.map(redis::Script::new);
                Self::LeastScript(connect(url).await?, Arc::new(scripts))
            }
            Way::Handoff | Way::HandoffApart => {
                let handle = tower_handoff::RedisHandle::connect(url)?;
                handle.ping().await?;
                Self::Handoff(handle.locks())
            }
            Way::Rslock => Self::Rslock(rslock::LockManager::new(vec![url])),
        })
    }

    /// Takes the lock (waiting where it can), runs `held`, lets go.
    pub async fn cycle(&self, key: &str, held: impl AsyncFnOnce()) -> Result<(), Error> {
        match self {
            Self::Raw(connection, script) => {
                let mut connection = connection.clone();
                let token = rand::random::<u128>().to_le_bytes();
                let _: String = set(key, &token).query_async(&mut connection).await?;
                held().await;
                let _: i64 = script
                    .key(key)
                    .arg(&token[..])
                    .invoke_async(&mut connection)
                    .await?;
            }
            Self::RawSupervised(wire, script) => {
                let token = rand::random::<u128>().to_le_bytes();
                wire.send(set(key, &token)).await?;
                held().await;
                let mut release = redis::cmd("EVALSHA");
                let release = release
                    .arg(script.get_hash())
                    .arg(1)
                    .arg(key)
                    .arg(&token[..]);
                wire.send(release.to_owned()).await?;
            }
            Self::LeastScript(connection, scripts) => {
                let mut connection = connection.clone();
                let [acquire, release] = &**scripts;
                let token = rand::random::<u128>().to_le_bytes();
                let _: i64 = acquire
                    .key(key)
                    .arg(&token[..])
                    .arg(LEASE.as_millis() as u64)
                    .invoke_async(&mut connection)
                    .await?;
                held().await;
                let _: i64 = release
                    .key(key)
                    .arg(&token[..])
                    .invoke_async(&mut connection)
                    .await?;
            }
            Self::Handoff(locks) => {
                let claim = Claim::new(LockKey::new(key)?, LeaseTime::new(LEASE)?);
                let acquired = locks.acquire(&claim, Some(Duration::from_secs(60))).await?;
                if !matches!(acquired, Acquired::Granted(_)) {
                    return Err(format!("not granted: {acquired:?}").into());
                }
                held().await;
                locks.release(&claim).await?;
            }
            Self::Rslock(manager) => {
                let guard = manager.acquire_no_guard(key.as_bytes(), LEASE).await?;
                held().await;
                manager.unlock(&guard).await;
            }
        }
        Ok(())
    }
}

async fn connect(url: &str) -> Result<redis::aio::MultiplexedConnection, Error> {
    let client = redis::Client::open(url)?;
    Ok(client.get_multiplexed_async_connection().await?)
}

fn set(key: &str, token: &[u8]) -> redis::Cmd {
    let mut set = redis::cmd("SET");
    set.arg(key).arg(token).arg("NX").arg("PX");
    set.arg(LEASE.as_millis() as u64).to_owned()
}
