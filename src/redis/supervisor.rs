//! The task that owns the connection: reaches Redis, serves the queue, notices a loss, begins
//! again.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::again::Again;
use super::away::AwayCause;
use super::backoff::Backoff;
use super::batch::Batch;
use super::connect::{Line, attempt};
use super::failure::Failure;
use super::flight::{Event, Flight};
use super::intake::Intake;
use super::mailbox::Subscription;
use super::probe::{Probed, Time};
use super::queue::Item;
use super::shared::{PIPELINE, Settings, Shared};
use super::status::{away, closed};
use crate::telemetry::names::RedisBatchCommands;
use crate::telemetry::record::observe;

/// How long an attempt to connect may take before another one begins beside it.
const OVERLAP: Duration = Duration::from_millis(400);

/// No more is sent while Redis owes so many replies, where the inbox is subscribed: it ends a connection that
/// hears messages (of class `pubsub`) once 32 MB wait there to be sent. That is a session of 16 KiB, the
/// usual limit, for each of them, and as much again.
const IN_FLIGHT: usize = 1024;

/// A connection that lasted so long was a good one: the next attempt begins at once.
const STEADY: Duration = Duration::from_secs(1);

/// Ends when every handle is gone or one of them was closed.
///
/// It holds no sender of its own queue, so the queue ends with the last handle.
pub(crate) struct Supervisor {
    settings: Settings,
    shared: Arc<Shared>,
    intake: Intake,
    backoff: Backoff,
}

/// Why a connection is not served any longer.
enum End {
    Closed,
    Lost(Option<redis::RedisError>),
    Silent,
    Unfit(Failure),
}

impl Supervisor {
    pub(crate) fn new(
        settings: Settings,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Item>,
    ) -> Self {
        Self {
            settings,
            shared,
            intake: Intake::new(queue),
            backoff: Backoff::default(),
        }
    }

    pub(crate) async fn run(mut self) {
        while let Some(Line {
            connection,
            // Ends with the round, and so does the connection.
            driver: _driver,
            mut lost,
            address,
            probed,
        }) = self.reach().await
        {
            let begun = Instant::now();
            self.announce(&address, &probed);
            self.intake.unknown = probed.unknown;
            let mut flight = Flight::new(connection, self.settings.command_timeout);
            let end = self.serve(&mut flight, &mut lost).await;
            self.shared.mailbox.set(Subscription::Pending);
            // A connection that is lost at once, again and again, must not be tried in a circle.
            if begun.elapsed() >= STEADY {
                self.backoff = Backoff::default();
            }
            let source = match end {
                End::Closed => break,
                End::Lost(source) => {
                    self.away(&Failure::unreachable("the connection was lost"));
                    source
                }
                End::Silent => {
                    self.away(&Failure::unreachable("Redis does not answer"));
                    None
                }
                End::Unfit(failure) => {
                    self.away(&failure);
                    None
                }
            };
            flight.fail(source);
        }
    }

    /// Tries to connect until it works; `None` when nobody wants it any longer.
    ///
    /// Attempts begin at least every 500 ms even while earlier ones hang: what was sent into a
    /// black hole never comes out of it, only a later attempt can find it closed. Commands are
    /// answered at once meanwhile, except while the very first attempt lasts.
    async fn reach(&mut self) -> Option<Line> {
        if self.intake.closing {
            return None;
        }
        let mut attempts: JoinSet<Result<Line, Failure>> = JoinSet::new();
        let mut next = Box::pin(tokio::time::sleep(self.backoff.first()));
        loop {
            let expiry = self.intake.first_is_due(self.settings.command_timeout);
            let room = self.intake.ready.len() < self.settings.queue_bound;
            tokio::select! {
                Some(ended) = attempts.join_next() => {
                    match ended {
                        Ok(Ok(line)) => return Some(line),
                        Ok(Err(failure)) => self.away(&failure),
                        Err(_) => self.away(&Failure::unreachable(
                            "an attempt to connect ended without a result",
                        )),
                    }
                    let soon = Instant::now() + self.backoff.next();
                    let planned = next.deadline();
                    next.as_mut().reset(planned.min(soon));
                }
                () = &mut next => {
                    let Settings { whereabouts, connect_timeout, queue_bound, .. } = &self.settings;
                    let mailbox = Arc::clone(&self.shared.mailbox);
                    let clustered = self.shared.clustered;
                    // As much again for those that timed out before they left.
                    let room = 2 * queue_bound;
                    let whereabouts = whereabouts.clone();
                    attempts.spawn(attempt(whereabouts, mailbox, *connect_timeout, clustered, room));
                    next.as_mut().reset(Instant::now() + OVERLAP);
                }
                () = self.intake.some(), if room => {
                    self.intake.unpack();
                    // The last handle is gone.
                    if self.intake.closing {
                        return None;
                    }
                    if !self.shared.breaker.is_starting() {
                        self.intake.refuse(&away());
                    }
                }
                () = self.shared.closing.notified() => return None,
                () = until(expiry) => self.intake.refuse_due(self.settings.command_timeout, &away()),
            }
        }
    }

    /// Sends what is queued and hands out replies until the connection or the handle ends.
    async fn serve(&mut self, flight: &mut Flight, lost: &mut oneshot::Receiver<Failure>) -> End {
        let mut again = Again::default();
        self.intake.subscribe = self.intake.inbox_wanted;
        loop {
            // Said of an earlier one, it is settled.
            if self.intake.wrong.take() == Some(self.shared.origin.number()) {
                let reason = "it is not the server that is written to";
                return End::Unfit(Failure::new(AwayCause::ReadOnly, reason));
            }
            self.send(flight).await;
            if self.intake.closing && self.intake.is_drained() && !flight.is_waited_for() {
                return End::Closed;
            }
            // While the window is shut more is left in the queue, which has its bound.
            let room = self.intake.is_open() && self.intake.ready.is_empty();
            let late = self.intake.first_is_late(self.settings.command_timeout);
            tokio::select! {
                // Replies that came before the connection ended are handed out first.
                biased;
                event = flight.event() => match event {
                    Event::Lost(error) => return End::Lost(Some(error)),
                    Event::Rang => tokio::task::yield_now().await,
                    Event::Due => if flight.expire().await {
                        return End::Silent;
                    },
                    Event::Landed(batch, replies) => {
                        let unfit = batch.settle(replies, &self.shared, &mut again);
                        self.intake.ready.extend(again.queued());
                        if let Some(failure) = unfit {
                            return End::Unfit(failure);
                        }
                    }
                },
                moved = &mut *lost => {
                    let end = moved.map_or(End::Lost(None), End::Unfit);
                    // The last of them may have come since they were looked for.
                    while let Some((batch, replies)) = flight.landed() {
                        let _ = batch.settle(replies, &self.shared, &mut again);
                    }
                    self.intake.ready.extend(again.queued());
                    return end;
                }
                () = self.shared.closing.notified() => self.intake.close(),
                // Whoever waits for the window is answered in time all the same.
                () = until(late) => {}
                () = self.intake.some(), if room => self.intake.gather(flight.is_empty(), &self.shared.full).await,
            }
        }
    }

    /// Sends what is ready, as far as the window allows: a lone command as itself, several as one pipeline.
    async fn send(&mut self, flight: &mut Flight) {
        let (timeout, mailbox) = (self.settings.command_timeout, &self.shared.mailbox);
        if self.intake.take_subscribe() && mailbox.begin() {
            let batch = Batch::subscribe(flight.connection(), mailbox, timeout);
            flight.push(batch).await;
        }
        self.intake.refuse_late(timeout);
        self.intake.refuse_unknown(&self.shared.refusals);
        let bound = self.settings.queue_bound;
        let window = self.intake.inbox_wanted.then_some(IN_FLIGHT);
        let most = window.map_or(bound, |window| window.min(bound));
        let ready = &mut self.intake.ready;
        while flight.commands() < most
            && let Some(first) = ready.pop_front()
        {
            let more = ready.iter().take(PIPELINE - 1);
            let more = more.take_while(|next| !next.leaves_alone()).count();
            let batch = if more == 0 || first.leaves_alone() {
                Batch::one(flight.connection(), first, timeout)
            } else {
                ready.push_front(first);
                Batch::many(flight.connection(), ready.drain(..=more), timeout)
            };
            observe(RedisBatchCommands::Each, batch.len() as f64);
            flight.push(batch).await;
        }
    }

    fn announce(&self, address: &str, probed: &Probed) {
        let Time {
            redis_ms,
            sent,
            received,
        } = probed.time;
        self.shared.clock.set(redis_ms, sent, received);
        self.shared.refusals.forget();
        // The other connection runs no script.
        if let (None, Some(why)) = (self.shared.breaker.name(), &probed.no_scripts) {
            self.shared.refusals.lacks("EVALSHA", why);
        }
        self.shared.breaker.up();
        // After the breaker too: who takes the new number for known has not been told that Redis is away.
        self.shared.origin.connected(probed.run.clone());
        // After the breaker: who is woken by the new epoch sends at once.
        self.shared.epochs.send_modify(|epoch| *epoch += 1);
        #[cfg(feature = "cluster")]
        self.shared.tell_status();
        match self.shared.breaker.name() {
            None => tracing::info!(address, "connected to Redis"),
            Some(name) => tracing::info!(address, "connected to Redis: {name}"),
        }
        for warning in &probed.warnings {
            tracing::warn!(address, "{warning}");
        }
    }

    fn away(&mut self, failure: &Failure) {
        if self.shared.breaker.away(failure) {
            #[cfg(feature = "cluster")]
            self.shared.tell_status();
            let address = self.settings.address();
            let Failure { cause, reason } = failure;
            let name = self.shared.breaker.name().unwrap_or("Redis");
            tracing::warn!(address, ?cause, reason, "{name} is away");
        }
        self.intake.refuse(&away());
    }
}

/// However it ends, also with its runtime: whoever asks from now on is told so.
impl Drop for Supervisor {
    fn drop(&mut self) {
        self.shared.breaker.close();
        self.settings.whereabouts.forget();
        self.intake.finish(&closed());
        #[cfg(feature = "cluster")]
        self.shared.tell_status();
    }
}

pub(crate) async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
