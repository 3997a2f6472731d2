//! What is asked on every new connection, in one round trip: does it serve, what is it, is it set
//! up as locks and sessions need it, what time is it there.
//!
//! Floor 3.

use std::collections::HashMap;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, Value, from_redis_value};
use tokio::time::Instant;

use super::away::AwayCause;
use super::error::describe;
use super::failure::Failure;
use super::keyspace::Keyspace;
use super::needs::{NEEDED, SCRIPTS, misses, unknown};

/// No clock shows more: beyond it milliseconds cannot be added to without care.
pub(super) const LATEST_MS: u64 = 1 << 53;

/// What RESP3 and the scripts need.
const OLDEST: (u32, u32) = (6, 2);

/// What the server said of itself.
pub(crate) struct Probed {
    pub(crate) time: Time,
    /// What the server calls itself from its start to its end; none where it does not say.
    pub(crate) run: Option<Arc<str>>,
    /// What an operator should know though Redis serves.
    pub(crate) warnings: Vec<String>,
    /// What runs scripts and that it does not know: an administrator has renamed it.
    pub(crate) unknown: Vec<&'static str>,
    /// Why this user can run no script that is needed.
    pub(crate) no_scripts: Option<String>,
}

/// Sessions, and locks: who has one of them alone need not have a right to the other's keys.
const KINDS: [&str; 2] = ["s1", "l1"];

/// The digest of no script: whoever may run scripts is told that there is none.
const NO_SCRIPT: &str = "0000000000000000000000000000000000000000";

/// Redis's time in ms, and when it was asked and answered.
pub(crate) struct Time {
    pub(crate) redis_ms: u64,
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
}

/// Asks. `channel` is one of the kind that wake-ups go to, and nobody listens to it. `keyspace` names the
/// keys that scripts are run on. `clustered` says whether the server is spoken to as a node of a Cluster.
pub(crate) async fn probe(
    connection: &mut MultiplexedConnection,
    channel: &str,
    keyspace: &Keyspace,
    clustered: bool,
) -> Result<Probed, Failure> {
    let mut pipeline = Pipeline::with_capacity(9);
    // The login was answered only to redis-rs; its reply says what the server is.
    pipeline.cmd("HELLO").arg(3);
    // PING is refused while Redis loads its data or is a replica without a master; TIME is not.
    pipeline.cmd("PING").cmd("TIME");
    // One command for both only since 7.0.
    pipeline.cmd("INFO").arg("memory");
    pipeline.cmd("INFO").arg("server");
    pipeline.cmd("PUBLISH").arg(channel).arg("");
    let commands = pipeline.cmd("COMMAND").arg("INFO");
    commands.arg(&SCRIPTS).arg(&NEEDED);
    // Rights are looked at first, then whose the key's slot is, and only then whether there is a script.
    for kind in KINDS {
        let evalsha = pipeline.cmd("EVALSHA").arg(NO_SCRIPT);
        evalsha.arg(1).arg(keyspace.key(kind, "", ""));
    }
    let sent = Instant::now();
    let replies = connection.send_packed_commands(&pipeline, 0, 9).await;
    let received = Instant::now();
    let replies: [Value; 9] = replies
        .map_err(|error| Failure::from(&error))?
        .try_into()
        .map_err(|_| Failure::unreachable("replies are missing"))?;
    let [
        hello,
        ping,
        time,
        info,
        server,
        publish,
        commands,
        session,
        lock,
    ] = replies;
    let hello = served(hello).map(Server::read)?;
    hello.is_supported()?;
    hello.is_for(clustered)?;
    match ping {
        // Its snapshots fail, so it takes no writes, and PING says so; reads it does serve.
        Value::ServerError(error) if error.code() == "MISCONF" => {}
        ping => drop(served(ping)?),
    }
    hello.takes_writes()?;
    let redis_ms = milliseconds(served(time)?)
        .ok_or_else(|| Failure::new(AwayCause::NotReady, "TIME was not answered with a time"))?;
    let mut unknown = unknown(commands, &session);
    let warnings = [evicts(info), mute(publish), misses(&unknown)];
    // The others are sent all the same: who answers for Redis may serve what it does not list.
    unknown.retain(|name| SCRIPTS.contains(name));
    Ok(Probed {
        time: Time {
            redis_ms,
            sent,
            received,
        },
        run: run_id(server),
        warnings: warnings.into_iter().flatten().collect(),
        unknown,
        no_scripts: no_scripts(keyspace.prefix(), &[session, lock]),
    })
}

fn served(reply: Value) -> Result<Value, Failure> {
    match reply {
        Value::ServerError(error) => Err(Failure::from(&error)),
        reply => Ok(reply),
    }
}

pub(super) fn milliseconds(time: Value) -> Option<u64> {
    let (seconds, micros) = from_redis_value::<(u64, u64)>(time).ok()?;
    let ms = seconds.checked_mul(1000)?.checked_add(micros / 1000)?;
    (ms <= LATEST_MS).then_some(ms)
}

/// What HELLO says; empty where something between here and Redis says it differently.
pub(super) struct Server {
    version: String,
    role: String,
    mode: String,
}

impl Server {
    pub(super) fn read(hello: Value) -> Self {
        let mut all: HashMap<String, Value> = from_redis_value(hello).unwrap_or_default();
        let mut text = |name| {
            let value = all.remove(name).map(from_redis_value);
            value.and_then(Result::ok).unwrap_or_default()
        };
        Self {
            version: text("version"),
            role: text("role"),
            mode: text("mode"),
        }
    }

    pub(super) fn is_supported(&self) -> Result<(), Failure> {
        let mut numbers = self.version.split('.').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < OLDEST => Err(Failure::new(
                AwayCause::Unsupported,
                format!(
                    "the server's version is {major}.{minor}; needed is Redis 6.2 or later, or Valkey"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// A node of a Cluster has some of the keys, and a sentinel none.
    pub(super) fn is_for(&self, clustered: bool) -> Result<(), Failure> {
        let reason = match self.mode.as_str() {
            "sentinel" => "the server is a sentinel: use redis-sentinel:// (feature `sentinel`)",
            "cluster" if !clustered => {
                "the server is a node of a Cluster: use redis-cluster:// (feature `cluster`)"
            }
            _ => return Ok(()),
        };
        Err(Failure::new(AwayCause::Unsupported, reason))
    }

    pub(super) fn takes_writes(&self) -> Result<(), Failure> {
        if self.role == "replica" {
            let reason = "the server is a replica and takes no writes";
            return Err(Failure::new(AwayCause::ReadOnly, reason));
        }
        Ok(())
    }
}

/// A user without the right to ask is told by whoever needs it.
fn run_id(info: Value) -> Option<Arc<str>> {
    let info: String = from_redis_value(info).ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    id.filter(|id| !id.is_empty()).map(Arc::from)
}

/// Everything this crate writes has a time to live, so every policy but one may evict it.
pub(super) fn evicts(info: Value) -> Option<String> {
    // A user without the right to ask is no reason to warn.
    let info: String = from_redis_value(info).ok()?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name));
    let policy = field("maxmemory_policy:")?;
    let limit: u64 = field("maxmemory:")?.parse().ok()?;
    (limit > 0 && policy != "noeviction").then(|| {
        format!(
            "maxmemory-policy {policy} may evict locks and sessions once {limit} bytes are full; \
             noeviction does not"
        )
    })
}

/// Where neither may be run: sessions and locks alike need scripts.
fn no_scripts(prefix: &str, replies: &[Value; 2]) -> Option<String> {
    let refused = replies.each_ref().map(|reply| match reply {
        Value::ServerError(error) if error.code() == "NOPERM" => Some(describe(error)),
        _ => None,
    });
    match refused {
        [Some(why), Some(_)] => Some(format!(
            "sessions and locks need EVALSHA on the keys {prefix}:*: {why}"
        )),
        _ => None,
    }
}

fn mute(publish: Value) -> Option<String> {
    match publish {
        Value::ServerError(error) if error.code() == "NOPERM" => Some(format!(
            "requests that wait for a lock cannot be woken and have to ask: PUBLISH: {}",
            describe(&error)
        )),
        _ => None,
    }
}
