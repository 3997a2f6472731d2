//! One sentinel: the connection to it, and the question where the master is.
//!
//! Floor 3.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Pipeline, PushInfo, PushKind, Value, from_redis_value};
use tokio::sync::watch;

use super::super::away::AwayCause;
use super::super::dial::{Driver, Target, dial};
use super::super::failure::Failure;

/// Where the master is, as one sentinel knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Master {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Which fail-over made it the master: of two answers the higher one is the newer.
    pub(crate) epoch: u64,
}

impl Master {
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

/// What a sentinel publishes when it has seen a replica become the master, and when it has turned
/// its own configuration to it.
const NEWS: [&str; 2] = ["+promoted-slave", "+switch-master"];

/// One of those that are asked.
pub(crate) struct Sentinel {
    target: Target,
    /// Changes where there may be another master.
    news: watch::Sender<()>,
    /// Held by whoever asks: the next one finds the connection of the one before.
    turn: tokio::sync::Mutex<()>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Left by whoever asked last, so that a question costs one round trip.
    link: Option<Link>,
    /// There will be no question any more; one may be under way.
    forgotten: bool,
}

struct Link {
    connection: MultiplexedConnection,
    _driver: Driver,
}

impl Sentinel {
    pub(crate) fn new(target: Target, news: watch::Sender<()>) -> Self {
        Self {
            target,
            news,
            turn: tokio::sync::Mutex::default(),
            kept: Mutex::default(),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.target.address()
    }

    /// Asks where the master of this name is, and hands the answer to `tell` before it sees to the next
    /// question; without a time-out of its own.
    ///
    /// Dropping the future closes the connection: its answer would be taken for the next one's.
    pub(crate) async fn ask(&self, name: &str, tell: impl FnOnce(Result<Master, Failure>)) {
        let _turn = self.turn.lock().await;
        let kept = self.kept().link.take();
        // It may have ended since: then a new one says more.
        if let Some(link) = kept
            && let Ok(master) = link.ask(name).await
        {
            tell(Ok(master));
            return self.keep(link);
        }
        let mut link = match self.dial().await {
            Ok(link) => link,
            Err(failure) => return tell(Err(failure)),
        };
        tell(link.ask(name).await);
        // Where this user may not, the regular question has to do.
        let _ = link.connection.subscribe(&NEWS[..]).await;
        self.keep(link);
    }

    /// Closes the connection, if one is kept, and keeps none from now on.
    pub(crate) fn forget(&self) {
        let mut kept = self.kept();
        kept.forgotten = true;
        kept.link = None;
    }

    fn keep(&self, link: Link) {
        let mut kept = self.kept();
        kept.link = Some(link).filter(|_| !kept.forgotten);
    }

    async fn dial(&self) -> Result<Link, Failure> {
        let news = self.news.clone();
        let config = AsyncConnectionConfig::new()
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Message {
                    news.send_replace(());
                }
                Ok::<(), ()>(())
            })
            // Whoever asks has a time-out.
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (connection, driver) = dial(self.target.clone(), &config).await?;
        Ok(Link {
            connection,
            _driver: driver,
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics under it.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// The address alone does not say how old the answer is, and what says it still names the old
    /// master while the replicas are turned to the new one: so both, in one round trip. And in this
    /// order: a switch between them must not make the old address look new.
    async fn ask(&self, name: &str) -> Result<Master, Failure> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.cmd("SENTINEL").arg("MASTER").arg(name);
        pipeline
            .cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name);
        let mut connection = self.connection.clone();
        let replies = connection.send_packed_commands(&pipeline, 0, 2).await;
        let [master, address]: [Value; 2] = replies
            .map_err(|error| Failure::from(&error))?
            .try_into()
            .map_err(|_| Failure::unreachable("replies are missing"))?;
        read(name, address, master)
    }
}

pub(crate) fn read(name: &str, address: Value, master: Value) -> Result<Master, Failure> {
    let address = match address {
        Value::Nil => {
            return Err(Failure::new(
                AwayCause::UnknownMaster,
                format!("it watches no master named {name:?}"),
            ));
        }
        Value::ServerError(error) => return Err(Failure::from(&error)),
        address => from_redis_value::<(String, u16)>(address).ok(),
    };
    let master = match master {
        Value::ServerError(error) => return Err(Failure::from(&error)),
        master => from_redis_value::<HashMap<String, String>>(master).ok(),
    };
    let epoch = master.and_then(|fields| fields.get("config-epoch")?.parse().ok());
    match (address, epoch) {
        (Some((host, port)), Some(epoch)) if !host.is_empty() && port != 0 => {
            Ok(Master { host, port, epoch })
        }
        _ => Err(Failure::new(
            AwayCause::Unsupported,
            "it does not answer as a sentinel does",
        )),
    }
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sentinel").field(&self.address()).finish()
    }
}
