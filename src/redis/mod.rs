//! One supervised connection to Redis, shared by sessions and locks.
//!
//! A [`RedisHandle`] is made once, never waits for Redis, and is cloned wherever it is needed:
//!
//! ```
//! use tower_handoff::redis::{RedisErrorKind, RedisHandle};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_handoff::ConfigError> {
//! let redis = RedisHandle::connect("redis://127.0.0.1:1")?; // nobody is there
//! let error = redis.ping().await.unwrap_err(); // said at once, and nothing was sent
//! assert_eq!(error.kind(), RedisErrorKind::Away);
//! assert!(!redis.status().is_up());
//! # Ok(())
//! # }
//! ```
//!
//! What the supervision promises:
//!
//! - **Time-outs.** No command waits longer than the command time-out, whatever Redis or the
//!   network does. One that was sent and not answered fails with
//!   [`Unknown`](RedisErrorKind::Unknown), because it may have been carried out; nothing is ever
//!   sent twice, not even a read: a second time-out would be over the budget of whoever waits, and
//!   whether to ask again is the application's to know. (Locks do, for those who are in line: an acquire
//!   is told from its repetition. Sessions do with a write that Redis refused because it came late.) A reply that came while this process itself stood still counts. One
//!   task watches the time for all, on the runtime that `connect` was called on: while nobody drives that
//!   one, the commands of other runtimes wait too (a timer for each command would cost all of them).
//! - **Replacement.** A connection that ends is replaced at once. One that left a command
//!   unanswered, and then stays silent for half a time-out more, is replaced too: a router that
//!   forgot the connection sends no error. A process that is itself too late to read, by a tenth of
//!   the time-out, takes the silence for its own, for six time-outs at most.
//! - **Breaker.** While Redis is away, commands fail with [`Away`](RedisErrorKind::Away) at once
//!   and reach no socket. A new connection is tried at least every 500 ms, with jitter, for
//!   ever, and counts once Redis answers on it: a server that still loads its data is away.
//! - **Gathering.** Commands that become ready together leave as one write and are answered
//!   one by one; the error of one is its own caller's alone. A lone command leaves as itself.
//! - **Cancelling.** A caller may drop its future at any time. What was queued goes out all the
//!   same, and nobody else notices.
//! - **Window.** Once a process has waited for a lock, no more is sent on a connection while Redis owes it
//!   1024 replies, such as come too late for their callers among them: Redis ends a connection that hears
//!   messages once 32 MB of replies wait there (`client-output-buffer-limit pubsub`). Who allows sessions of
//!   much more than the usual 16 KiB should raise that limit. So such a process has 1024 commands a round
//!   trip at most, 10 000 a second where Redis is 100 ms away. What waits past its time-out for its turn is
//!   not sent, and fails with [`Away`](RedisErrorKind::Away); where the round trip is longer than half a
//!   time-out, such a queue is still taken for a silent Redis.
//! - **One connection.** A large answer holds up the small ones behind it. Beside values of 16 KiB a second
//!   handle changes nothing for those (0.96 of their rate, 0.85 to 2.31 in five rounds); beside values of 256 KiB
//!   it gives 1.69 times as many of them (1.36 to 1.87) for 0.88 of the large ones' throughput, beside 1 MiB 1.45
//!   (1.00 to 1.83); all callers on any of four handles 0.92 to 1.05 of what they have on one. These are medians,
//!   on one machine, of `cargo bench --bench large_answers --features testing`. So one is the default, and who
//!   keeps values of more than 100 KiB gives them a [`RedisHandle`] of their own.
//! - **Order.** Commands are carried out in the order in which they were queued, but for a script
//!   that Redis does not know yet: it is sent again, behind what was sent meanwhile. Of many who run it
//!   at once, one sends its text.
//!
//! # What Redis may answer
//!
//! | Redis | commands | [`RedisStatus`] |
//! | --- | --- | --- |
//! | loads its data (`LOADING`), is a replica without a master (`MASTERDOWN`) | [`Away`](RedisErrorKind::Away) | away, [`NotReady`](AwayCause::NotReady) |
//! | is a replica, from the start or since a fail-over (`READONLY`) | [`Away`](RedisErrorKind::Away) | away, [`ReadOnly`](AwayCause::ReadOnly); the host name is looked up again for every attempt |
//! | is a master in whose place the sentinels name another one | what was sent [`Unknown`](RedisErrorKind::Unknown), then [`Away`](RedisErrorKind::Away) | away, [`ReadOnly`](AwayCause::ReadOnly), until the other one serves |
//! | is not known to the sentinels by this name | [`Away`](RedisErrorKind::Away) | away, [`UnknownMaster`](AwayCause::UnknownMaster) |
//! | refuses the login (`NOAUTH`, `WRONGPASS`), or `PING` or `TIME` (`NOPERM`) | [`Away`](RedisErrorKind::Away) | away, [`Login`](AwayCause::Login) |
//! | is not the one of its certificate, or refuses ours | [`Away`](RedisErrorKind::Away) | away, [`Tls`](AwayCause::Tls) |
//! | is older than 6.2, or speaks no RESP3 | [`Away`](RedisErrorKind::Away) | away, [`Unsupported`](AwayCause::Unsupported) |
//! | is a node of a Cluster, or a sentinel, where the URL is of one server | [`Away`](RedisErrorKind::Away) | away, [`Unsupported`](AwayCause::Unsupported) |
//! | has no memory left (`OOM`), too few replicas (`NOREPLICAS`), cannot write its snapshots (`MISCONF`) | reads are served, writes and locks [`Refused`](RedisErrorKind::Refused); with `OOM`, sessions that are used are renewed | up, on the same connection, with a [warning](RedisHandle::warning) |
//! | refuses a command or a key to this user (`NOPERM`) | this one [`Refused`](RedisErrorKind::Refused), Redis's text names it; of a script's commands, up to Redis 7.0 `ACL LOG` does | up, with a [warning](RedisHandle::warning) |
//! | refuses anything else, but for the kind of a value (`WRONGTYPE`) | this one [`Refused`](RedisErrorKind::Refused) | up, with a [warning](RedisHandle::warning) |
//!
//! Each change of the state or its cause is logged once, at `WARN`, also where Redis is never
//! reached; so is what Redis begins to refuse while it is up, and at `INFO` the end of that. The health
//! check says both. The first [connection](RedisHandle::connect) and every later one warn, and go on, where
//! `maxmemory-policy` may evict locks and sessions, and where the user may not publish to
//! `{prefix}:inbox1:*`, so that requests that wait for a lock cannot be woken. Where the user may not run
//! scripts, or neither on the keys of sessions nor on those of locks, that is a [warning](RedisHandle::warning)
//! until one is run.
//!
//! # Sentinel
//! With the feature `sentinel` and a URL `redis-sentinel://…` (see [`RedisHandle::connect`]) every
//! attempt to connect first asks the sentinels where the master is: all of them at once, half the
//! connect time-out long, and an eighth from the first answer on that is as new as what was known. Of
//! several answers the one of the latest fail-over counts; who hangs or is dead is passed over.
//!
//! While connected, all of them are asked once a second and listened to, and the master is left as
//! soon as one of them names a newer one: an old master may live on, cut off from the sentinels, and
//! take writes that are lost when it comes back. It is left, too, where most of the sentinels of the
//! URL name another one three times in a row: their count of fail-overs begins anew where a master is
//! entered anew (`SENTINEL REMOVE`, then `MONITOR`). Enter it at all of them: one that was left out is
//! believed before all others, as its count is the highest.
//!
//! That costs one connection, and two short commands a second, at every sentinel for each process;
//! four commands where writes wait for replicas, as each of the two connections is watched. A sentinel
//! that takes longer than the connect time-out to be connected to is not heard. Sentinels that are
//! away change nothing while the master lives, but a connection that is lost meanwhile is not made
//! anew.
//!
//! | what befalls it | requests, where writes of sessions and grants of locks wait for replicas |
//! | --- | --- |
//! | the master dies or stands still | refused from the first time-out on, until another one serves: a moment after the sentinels name it; who stands in line for a lock already looks again two seconds later at most, and is refused where nobody has served for a second then |
//! | it comes back | served by the other one, before the sentinels make it a replica as well as after |
//! | a fail-over is asked for | served, but for the moment of the switch; what waits for more replicas than follow the new master yet is refused |
//! | a sentinel dies | served |
//! | a replica dies | served while as many are left as are waited for; then sessions are read, jobs run, and the rest is refused |
//!
//! What was answered well is kept then, but for the results of [jobs](crate::once), which wait for no
//! replica: such a job runs again. One that runs while the master is replaced may lose its lease.
//!
//! Who is cut off from the sentinels together with the old master cannot know. What such a master
//! takes is bounded by its `min-replicas-to-write` alone, and what it grants by the fences that the
//! resource checks.
//!
//! # Durability
//! What Redis has acknowledged is in the master's memory. What else it survives is Redis's setting and
//! a choice at the call site: [`RedisSessions::replicas`](crate::session::RedisSessions::replicas) for
//! session writes, [`RedisLocks::replicas`](crate::lock::RedisLocks::replicas) for grants.
//!
//! | | the master crashes and comes back | it is lost, a replica follows |
//! | --- | --- | --- |
//! | one node, `appendonly no` | what was written since the last snapshot is lost | |
//! | one node, `appendfsync everysec` | up to two seconds of writes are lost | |
//! | one node, `appendfsync always` | nothing is lost | |
//! | Sentinel | as for one node, if it comes back before `down-after-milliseconds` | what was on its way to the replica, and what an old master takes until it is left |
//! | Sentinel, waiting for n replicas | the same | nothing acknowledged, if one of those n follows: Sentinel goes by `replica-priority` first, then takes the one that has read most |
//! | Cluster | as for one node, if it comes back before the `cluster-node-timeout` | what was on its way to the replica, and what a master that is cut off takes until it notices |
//! | Cluster, waiting for n replicas | the same | nothing acknowledged, if one of those n follows: the one that has read most asks for the votes first |
//!
//! A master that comes back without its data, before the sentinels notice, empties its replicas: no
//! number of replicas helps against that, `appendonly yes` does.
//!
//! In a planned fail-over (`SENTINEL FAILOVER`) the replica that is to follow stops listening while the
//! old master still takes writes, and the other replicas still acknowledge them. Wait for all replicas
//! where that matters: then these writes fail instead.
//!
//! Waiting makes a loss unlikely, not impossible: replication stays asynchronous, replicas acknowledge
//! what is in their memory, and an operator can promote any of them, as can a `replica-priority` that
//! prefers one that lags. A write that too few acknowledge in time is not taken back.
//! # Redis Cluster
//! With the feature `cluster`, `redis-cluster://host:port,host:port` (with TLS `rediss-cluster://`) is a
//! Cluster. One of the hosts has to answer at the start, a replica will do; the others are learned
//! from it, under the addresses that they announce, with the URL's user, password and TLS: certificates
//! have to be for these addresses. Each master has a connection of its own, supervised as above, and
//! each command goes to whoever has its key.
//!
//! - **Slots that move.** What a node did not carry out because the key is elsewhere (`MOVED`, `ASK`)
//!   goes on to the node that it names, also where its caller is gone by then, and the last handle too;
//!   not past [`close`](RedisHandle::close). The time-out counts from the first sending. Such a command
//!   is overtaken by what is sent meanwhile. While a slot is on its way, a lock that is new or that
//!   nobody waits for is in neither place whole (`TRYAGAIN`): it is asked for again for three quarters
//!   of the command time-out, then refused. So locks survive a move that ends within their lease, not a
//!   slot that is left half-way. A lock that is handed over meanwhile to the last in line is that one's,
//!   where the slot arrives within a second; otherwise that one is refused, and gives it back.
//! - **Fail-over.** Who has the slots is looked up when a connection is lost, and then at least every
//!   500 ms until all are served; a promoted replica is connected to at once. Commands for a node that
//!   is away, or that says `CLUSTERDOWN`, fail with [`Away`](RedisErrorKind::Away) at once, and the others
//!   are served: as far as the Cluster serves them, which takes `cluster-require-full-coverage no`.
//!   [`RedisStatus`], and the metric `tower_handoff_redis_up`, is up where every slot is served;
//!   otherwise the status names a node that is away. A fresh instance's health check passes once any
//!   master answers, and says afterwards who is away. Ending a user's sessions ends those that can be
//!   reached, and is an error where others may be left: ask again.
//! - **What it promises.** A Cluster replicates behind the reply. A master that dies takes along what its
//!   replica had not received: saved sessions, and locks that were granted, so that two may believe that
//!   they hold one. Fences come from the nodes' clocks, and grow through a fail-over as far as these
//!   agree; a resource that checks them is safe then. A fail-over that is asked for (`CLUSTER FAILOVER`)
//!   loses no data. Leases too are by the clock of the node: one whose clock is ahead by so much ends the
//!   leases that it takes over so much early, also in a fail-over that was asked for, and two may hold
//!   the lock until the first one's own deadline. An old master that is cut off takes writes for the
//!   `cluster-node-timeout`, and all of them are lost; those that wait for replicas fail, as long as the
//!   replicas are not cut off with it.
//! - **Waiting for replicas** is for those of whoever carried the write out, also where a slot was on its
//!   way: of several nodes, where a user's list is on another one than the session. Each node has a second
//!   connection then, made when first needed. In a Cluster messages are not replicated to a master's own
//!   replicas as its writes are (`PUBLISH` goes to all nodes, `SPUBLISH` to the shard, both beside the
//!   stream), so the later write that is waited for is a key, `{prefix}:w1:{…}`, that a script writes and
//!   deletes at once, also where no memory is left: what was deleted then is waited for too. A promoted replica without one of its own acknowledges nothing: have
//!   two for each master where writes are to go on after a fail-over.
//! - **What it costs.** Over the round trips of one server: one more for a login, for the logout and for
//!   the renewal of a session that is somebody's, because the list of a user's sessions may be on another
//!   node; two more to bind or prolong a session that was not looked at; a walk through a user's sessions
//!   is two for each hundred, and one where any have ended. A lock that is handed over is asked for once
//!   more by who was woken. The wake-up is a plain `PUBLISH`, which the nodes pass on to each other: a
//!   message to each of them. With plenty of nodes and waiting that is their bus's load, where sharded
//!   channels would be the waiters' (each key waited for, a subscription, and again when it moves).
//!   A process hears one wake-up through each of its connections that waits for locks, and may ask once
//!   for each. The list of a user's sessions keeps those that ended by themselves until their absolute
//!   deadline.
//! - **Clocks.** Deadlines of sessions and locks are by the clock of the node that has them. Of a key on
//!   its way, the new node's time is taken for the old one's until the move ends: keep the nodes' clocks
//!   in step.
//!
//! # What it needs
//! RESP3, so Redis 6.2 or later, or Valkey; a master, or a Cluster. A user with restricted rights
//! needs `PING` and `TIME` for the connection itself, on top of what sessions and locks use. With
//! `INFO` it is told about eviction. In a Cluster it needs `CLUSTER INFO`, `CLUSTER SLOTS` and `ASKING`, on
//! replicas too. A connection begins with two round trips: the login, then `HELLO`, `PING`, `TIME`, `INFO memory`,
//! `INFO server`, an empty `PUBLISH`, `COMMAND INFO` of what runs scripts, of what these call, of `SUBSCRIBE` and
//! of `MGET`, and two `EVALSHA` of no script as one pipeline.
//!
//! | tested on (`scripts/test versions`) | what differs |
//! | --- | --- |
//! | Redis 6.2 | why a script was refused stands behind `ERR`; [`RedisError::code`] finds it |
//! | Redis 7.0, 7.4, 8.0, 8.2 | up to 7.0 only `ACL LOG` names the command that a script had no right to |
//! | Valkey 8.0, 8.1, 9.1 | nothing that was seen |
//!
//! The servers of 6.2 and 8.2 were built without TLS.
//!
//! Of what `COMMAND INFO` is asked for, what an administrator renamed is named in a warning in the log where a
//! connection begins. It is missed, as all else is (`WAIT`, `ASKING`), where it is first needed: without `PING`
//! or `TIME` Redis is away, for a reason that names it; of a script's commands Redis names none. It is sent all the
//! same, for a proxy may serve what it does not list; but where it is `EVALSHA` or `EVAL`, scripts are
//! [`Refused`](RedisErrorKind::Refused) by that name and not sent, with a
//! [warning](RedisHandle::warning), and the connection stays. For a user without the right to `COMMAND` that
//! is so of `EVALSHA` alone: where `EVAL` is missing the connection ends at each script that Redis does not
//! have, as Redis repeats what it was asked, and that is no text.

mod again;
mod ask;
mod away;
mod backoff;
mod batch;
mod beside;
mod builder;
mod clock;
#[cfg(feature = "cluster")]
mod cluster;
mod connect;
mod dial;
pub(crate) mod error;
mod failure;
mod flight;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzz;
pub(crate) mod handle;
pub(crate) mod inbox;
mod intake;
pub(crate) mod keyspace;
mod link;
mod lookup;
mod mailbox;
mod managed;
mod needs;
mod open;
mod origin;
mod probe;
mod queue;
pub(crate) mod reconnects;
mod refusals;
pub(crate) mod replicas;
pub(crate) mod script;
#[cfg(feature = "sentinel")]
mod sentinel;
mod shared;
mod slots;
mod start;
pub(crate) mod status;
mod supervisor;
mod tcp;
#[cfg(feature = "tls-rustls")]
mod tls;
mod trace;
mod url;
mod way;
mod whereabouts;
#[cfg(feature = "testing")]
mod wire;

pub use away::AwayCause;
pub use builder::RedisBuilder;
pub use error::{RedisError, RedisErrorKind};
pub use handle::RedisHandle;
pub use status::RedisStatus;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use wire::Wire;
