//! Several sentinels asked at once: the newest answer counts, and nobody's silence holds it up.
//!
//! Floor 3.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, ProtocolVersion, RedisConnectionInfo};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::super::away::AwayCause;
use super::super::dial::Target;
use super::super::failure::Failure;
use super::ask::{Master, Sentinel};

/// How often a connected process asks whether its master still is the master.
const WATCH: Duration = Duration::from_secs(1);

/// Who this process is to the sentinels; without `Debug`.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// All that may be asked, and what for.
#[derive(Debug)]
pub(crate) struct Sentinels {
    name: String,
    all: Vec<Arc<Sentinel>>,
    /// Changed by any of them.
    news: watch::Sender<()>,
    /// Shared by the asking and by what comes after it.
    timeout: Duration,
}

impl Sentinels {
    /// Sentinels are spoken to as `server` is, but for the login and the database.
    pub(crate) fn new(
        name: String,
        addresses: Vec<ConnectionAddr>,
        server: &Target,
        credentials: Option<&Credentials>,
        timeout: Duration,
    ) -> Self {
        let news = watch::Sender::new(());
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(Credentials { user, password }) = credentials {
            settings = settings.set_username(user).set_password(password);
        }
        let sentinel = |address| {
            let mut target = server.clone();
            target.info = target.info.set_addr(address);
            target.info = target.info.set_redis_settings(settings.clone());
            Arc::new(Sentinel::new(target, news.clone()))
        };
        let all = addresses.into_iter().map(sentinel).collect();
        Self {
            name,
            all,
            news,
            timeout,
        }
    }

    /// For logs: the master's name and where the sentinels are.
    pub(crate) fn address(&self) -> String {
        let all: Vec<_> = self.all.iter().map(|each| each.address()).collect();
        format!("{} of {}", self.name, all.join(","))
    }

    /// Asks all of them, half the time-out long, and from the first answer on an eighth: a sentinel
    /// that was cut off with the old master still names it, and only the others know better.
    ///
    /// Dropping the future takes the questions back.
    pub(crate) async fn survey(&self) -> Result<Master, Failure> {
        let mut asked = JoinSet::new();
        for sentinel in &self.all {
            let (sentinel, name) = (Arc::clone(sentinel), self.name.clone());
            asked.spawn(async move { (sentinel.ask(&name).await, sentinel.address()) });
        }
        let mut newest: Option<Master> = None;
        let mut failure: Option<Failure> = None;
        let mut patience = pin!(sleep(self.timeout / 2));
        loop {
            let (answer, address) = tokio::select! {
                ended = asked.join_next() => match ended {
                    None => break,
                    Some(Ok(answered)) => answered,
                    Some(Err(_)) => continue,
                },
                () = &mut patience => break,
            };
            match answer {
                Ok(master) => {
                    if newest.is_none() {
                        let end = patience.deadline();
                        let end = end.min(Instant::now() + self.timeout / 8);
                        patience.as_mut().reset(end);
                    }
                    if newest.as_ref().is_none_or(|old| old.epoch < master.epoch) {
                        newest = Some(master);
                    }
                }
                // What somebody can act on says more than that nobody is there.
                Err(Failure { cause, reason }) => {
                    if failure
                        .as_ref()
                        .is_none_or(|old| old.cause == AwayCause::Unreachable)
                    {
                        failure =
                            Some(Failure::new(cause, format!("sentinel {address}: {reason}")));
                    }
                }
            }
        }
        newest.ok_or_else(|| {
            failure.unwrap_or_else(|| Failure::unreachable("no sentinel answers in time"))
        })
    }

    /// Resolves once a sentinel knows of a newer master than this one. Asks all of them once a
    /// second, and when one says that there may be; while none of them answers, the master of the
    /// moment stays.
    ///
    /// An old master takes writes until sentinels get to demote it, and all of them are lost: so it
    /// is left when they name another, not when it breaks.
    pub(crate) async fn moved(self: Arc<Self>, from: Master) -> Failure {
        let mut news = self.news.subscribe();
        let mut turns = interval(WATCH);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is at once, and the master was asked for just now.
        turns.tick().await;
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                // The sender lives in `self`, so an error cannot come.
                _ = news.changed() => {}
            }
            if let Ok(master) = self.survey().await
                && master.epoch > from.epoch
                && (&master.host, master.port) != (&from.host, from.port)
            {
                let Master { host, port, .. } = master;
                return Failure::new(
                    AwayCause::ReadOnly,
                    format!("the sentinels name another master: {host}:{port}"),
                );
            }
        }
    }
}
