//! Several sentinels asked at once: the newest answer counts, and nobody's silence holds it up.
//!
//! Floor 3.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{ConnectionAddr, ProtocolVersion, RedisConnectionInfo};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::super::away::AwayCause;
use super::super::dial::Target;
use super::super::failure::Failure;
use super::ask::{Master, Sentinel};

/// How often a connected process asks whether its master still is the master.
const WATCH: Duration = Duration::from_secs(1);

/// How soon it asks again at the earliest, however much the sentinels publish.
const PACE: Duration = Duration::from_millis(50);

/// So often in a row most sentinels must name another master that is not the newer one: one that was
/// just elected is known to a single sentinel for a moment.
const OUTVOTED: u32 = 3;

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
    /// The epoch of the newest master that the last survey heard of.
    heard: AtomicU64,
}

/// What the sentinels say.
struct Said {
    newest: Master,
    /// How many name it.
    votes: usize,
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
            heard: AtomicU64::new(0),
        }
    }

    /// For logs: the master's name and where the sentinels are.
    pub(crate) fn address(&self) -> String {
        let all: Vec<_> = self.all.iter().map(|each| each.address()).collect();
        format!("{} of {}", self.name, all.join(","))
    }

    /// Closes the connections to them.
    pub(crate) fn forget(&self) {
        self.all.iter().for_each(|sentinel| sentinel.forget());
    }

    /// The master of the moment; half the time-out long, and an eighth from the first answer on that is
    /// as new as what was known: a sentinel that was cut off with the old master still names it, and only
    /// the others know better.
    pub(crate) async fn find(&self) -> Result<Master, Failure> {
        let known = self.heard.load(Ordering::Relaxed);
        let said = self.survey(|master| master.epoch >= known).await?;
        Ok(said.newest)
    }

    /// Asks all of them, half the time-out long, and an eighth from the first answer on that will `do`.
    ///
    /// Dropping the future takes the questions back. Who is slower is not waited for and goes on, so
    /// that the next question finds a connection.
    async fn survey(&self, will_do: impl Fn(&Master) -> bool) -> Result<Said, Failure> {
        let mut asked = JoinSet::new();
        let (tell, mut answers) = mpsc::unbounded_channel();
        for sentinel in &self.all {
            let (sentinel, name, tell) = (Arc::clone(sentinel), self.name.clone(), tell.clone());
            let most = self.timeout;
            asked.spawn(async move {
                let address = sentinel.address();
                // Whoever asked may not wait any more.
                let tell = move |answer| drop(tell.send((answer, address)));
                let _ = timeout(most, sentinel.ask(&name, tell)).await;
            });
        }
        drop(tell);
        let mut masters: Vec<Master> = Vec::new();
        let mut failure: Option<Failure> = None;
        let mut patience = pin!(sleep(self.timeout / 2));
        loop {
            let (answer, address) = tokio::select! {
                told = answers.recv() => match told {
                    None => break,
                    Some(told) => told,
                },
                () = &mut patience => break,
            };
            match answer {
                Ok(master) => {
                    if will_do(&master) {
                        let end = patience.deadline();
                        let end = end.min(Instant::now() + self.timeout / 8);
                        patience.as_mut().reset(end);
                    }
                    masters.push(master);
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
        asked.detach_all();
        let newer = |one, other: Master| match &one {
            Master { epoch, .. } if other.epoch > *epoch => other,
            _ => one,
        };
        let Some(newest) = masters.iter().cloned().reduce(newer) else {
            let silence = || Failure::unreachable("no sentinel answers in time");
            return Err(failure.unwrap_or_else(silence));
        };
        self.heard.store(newest.epoch, Ordering::Relaxed);
        let votes = masters.iter().filter(|each| each.is_at(&newest)).count();
        Ok(Said { newest, votes })
    }

    /// Resolves once a sentinel knows of a newer master than this one, or most of them name another
    /// one for good, which was entered anew. Asks all of them once a second, and when one says that
    /// there may be; while none of them answers, the master of the moment stays.
    ///
    /// An old master takes writes until sentinels get to demote it, and all of them are lost: so it
    /// is left when they name another, not when it breaks.
    pub(crate) async fn moved(self: Arc<Self>, from: Master) -> Failure {
        let mut news = self.news.subscribe();
        let mut turns = interval(WATCH);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is at once, and the master was asked for just now.
        turns.tick().await;
        let mut outvoted = 0;
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                // The sender lives in `self`, so an error cannot come.
                _ = news.changed() => {}
            }
            // Whoever knows of nothing newer is not enough: the others may be slow.
            if let Ok(Said { newest, votes }) = self.survey(|it| it.epoch > from.epoch).await {
                let other = !newest.is_at(&from);
                outvoted = match other && 2 * votes > self.all.len() {
                    true => outvoted + 1,
                    false => 0,
                };
                if other && (newest.epoch > from.epoch || outvoted == OUTVOTED) {
                    let Master { host, port, .. } = newest;
                    return Failure::new(
                        AwayCause::ReadOnly,
                        format!("the sentinels name another master: {host}:{port}"),
                    );
                }
            }
            sleep(PACE).await;
        }
    }
}
