//! The task that owns the connection: reaches Redis, serves the queue, notices a loss, begins
//! again.
//!
//! Floor 3.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use redis::ConnectionInfo;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::batch::Batch;
use super::clock::Clock;
use super::connect::{Line, Time, attempt};
use super::error::RedisError;
use super::flight::{Event, Flight};
use super::mailbox::{Mailbox, Subscription};
use super::queue::{Item, Queued};
use super::status::{Breaker, away, closed};

/// The most commands that leave in one write: some hundred KiB of usual commands, so that the
/// first of them does not wait for the last.
const BATCH: usize = 512;

/// A connection that lasted so long was a good one: the next attempt begins at once.
const STEADY: Duration = Duration::from_secs(1);

/// What is set at construction and does not change.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) info: ConnectionInfo,
    pub(crate) command_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) queue_bound: usize,
}

/// What the handles read and the supervisor writes.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) breaker: Breaker,
    pub(crate) clock: Clock,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Grows with every connection.
    pub(crate) epochs: watch::Sender<u64>,
}

/// Ends when every handle is gone or one of them was closed.
///
/// It holds no sender of its own queue, so the queue ends with the last handle.
pub(crate) struct Supervisor {
    settings: Settings,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Item>,
    /// Taken from the queue and not sent yet.
    items: Vec<Item>,
    ready: VecDeque<Queued>,
    backoff: Backoff,
    inbox_wanted: bool,
    /// Nothing new is expected: end when all that is left is answered.
    closing: bool,
    /// Every handle is gone, so the queue has nothing to give any more.
    abandoned: bool,
}

/// Why a connection is not served any longer.
enum End {
    Closed,
    Lost(Option<redis::RedisError>),
    Silent,
    Unfit(RedisError),
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
            queue,
            items: Vec::new(),
            ready: VecDeque::new(),
            backoff: Backoff::default(),
            inbox_wanted: false,
            closing: false,
            abandoned: false,
        }
    }

    pub(crate) async fn run(mut self) {
        while let Some(Line {
            connection,
            lost,
            time,
        }) = self.reach().await
        {
            let begun = Instant::now();
            self.announce(&time);
            let mut flight = Flight::new(connection, self.settings.command_timeout);
            let end = self.serve(&mut flight, &lost).await;
            self.shared.mailbox.set(Subscription::Pending);
            // A connection that is lost at once, again and again, must not be tried in a circle.
            if begun.elapsed() >= STEADY {
                self.backoff = Backoff::default();
            }
            let source = match end {
                End::Closed => break,
                End::Lost(source) => {
                    self.away("the connection was lost");
                    source
                }
                End::Silent => {
                    self.away("Redis does not answer");
                    None
                }
                End::Unfit(error) => {
                    self.away(&error.to_string());
                    None
                }
            };
            flight.fail(source);
        }
        self.shared.breaker.close();
        self.queue.close();
        while let Ok(item) = self.queue.try_recv() {
            self.take(item);
        }
        self.refuse_ready(&closed());
    }

    /// Tries to connect until it works; `None` when nobody wants it any longer.
    ///
    /// Attempts begin at least every 500 ms even while earlier ones hang: what was sent into a
    /// black hole never comes out of it, only a later attempt can find it closed. Commands are
    /// answered at once meanwhile, except while the very first attempt lasts.
    async fn reach(&mut self) -> Option<Line> {
        let mut attempts: JoinSet<Result<Line, String>> = JoinSet::new();
        let delay = if self.backoff.is_fresh() {
            Duration::ZERO
        } else {
            self.backoff.next()
        };
        let mut next = Box::pin(tokio::time::sleep(delay));
        loop {
            let oldest = self.ready.front();
            let expiry = oldest.map(|queued| queued.caller.since + self.settings.command_timeout);
            let room = self.ready.len() < self.settings.queue_bound;
            tokio::select! {
                Some(ended) = attempts.join_next() => match ended {
                    Ok(Ok(line)) => return Some(line),
                    Ok(Err(reason)) => self.away(&reason),
                    Err(_) => self.away("an attempt to connect ended without a result"),
                },
                () = &mut next => {
                    let Settings { info, connect_timeout, .. } = &self.settings;
                    let mailbox = Arc::clone(&self.shared.mailbox);
                    attempts.spawn(attempt(info.clone(), mailbox, *connect_timeout));
                    next.as_mut().reset(Instant::now() + self.backoff.next());
                }
                item = self.queue.recv(), if room => {
                    self.take(item.unwrap_or(Item::Close));
                    if self.closing {
                        return None;
                    }
                    if !self.shared.breaker.is_starting() {
                        self.refuse_ready(&away());
                    }
                }
                () = until(expiry) => {
                    if let Some(queued) = self.ready.pop_front() {
                        queued.caller.answer(Err(away()));
                    }
                }
            }
        }
    }

    /// Sends what is queued and hands out replies until the connection or the handle ends.
    async fn serve(&mut self, flight: &mut Flight, lost: &Notify) -> End {
        let mut again = Vec::new();
        if self.inbox_wanted {
            self.subscribe(flight).await;
        }
        loop {
            self.send_ready(flight).await;
            if self.closing && flight.is_empty() && self.queue.is_empty() {
                return End::Closed;
            }
            let room = flight.commands() < self.settings.queue_bound;
            tokio::select! {
                biased;
                () = lost.notified() => return End::Lost(None),
                event = flight.event() => match event {
                    Event::Lost(error) => return End::Lost(Some(error)),
                    Event::Rang => if flight.expire().await {
                        return End::Silent;
                    },
                    Event::Landed(batch, replies) => {
                        let unfit = batch.settle(replies, &self.shared.mailbox, &mut again);
                        self.ready.extend(again.drain(..));
                        if let Some(error) = unfit {
                            return End::Unfit(error);
                        }
                    }
                },
                _ = self.queue.recv_many(&mut self.items, BATCH), if room && !self.abandoned => {
                    self.gather(flight).await;
                }
            }
        }
    }

    /// Takes what the queue holds, after every task that is ready now had its turn to add to it.
    ///
    /// Without that turn the first command wakes this task, which would send it alone, and each
    /// command would cost Redis a read and a write of its own.
    async fn gather(&mut self, flight: &mut Flight) {
        self.abandoned = self.items.is_empty();
        self.closing |= self.abandoned;
        tokio::task::yield_now().await;
        while self.items.len() < BATCH
            && let Ok(item) = self.queue.try_recv()
        {
            self.items.push(item);
        }
        let mut items = std::mem::take(&mut self.items);
        for item in items.drain(..) {
            let subscribe = matches!(item, Item::Subscribe);
            self.take(item);
            if subscribe {
                self.subscribe(flight).await;
            }
        }
        // The same buffer serves for ever.
        self.items = items;
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Command(queued) => self.ready.push_back(queued),
            Item::Subscribe => self.inbox_wanted = true,
            Item::Close => self.closing = true,
        }
    }

    async fn send_ready(&mut self, flight: &mut Flight) {
        while !self.ready.is_empty() {
            let count = self.ready.len().min(BATCH);
            let batch = if count == 1
                && let Some(queued) = self.ready.pop_front()
            {
                Batch::one(flight.connection(), queued, flight.timeout())
            } else {
                Batch::many(
                    flight.connection(),
                    self.ready.drain(..count),
                    flight.timeout(),
                )
            };
            flight.push(batch).await;
        }
    }

    /// Subscribes unless that is done or on its way.
    async fn subscribe(&mut self, flight: &mut Flight) {
        if self.shared.mailbox.begin() {
            let batch =
                Batch::subscribe(flight.connection(), &self.shared.mailbox, flight.timeout());
            flight.push(batch).await;
        }
    }

    fn announce(&self, time: &Time) {
        let Time {
            redis_ms,
            sent,
            received,
        } = *time;
        self.shared.clock.set(redis_ms, sent, received);
        self.shared.breaker.up();
        // After the breaker: who is woken by the new epoch sends at once.
        self.shared.epochs.send_modify(|epoch| *epoch += 1);
        tracing::info!(address = self.settings.address(), "connected to Redis");
    }

    fn away(&mut self, reason: &str) {
        if self.shared.breaker.away(reason) {
            let address = self.settings.address();
            tracing::warn!(address, reason, "Redis is away");
        }
        self.refuse_ready(&away());
    }

    fn refuse_ready(&mut self, error: &RedisError) {
        for queued in self.ready.drain(..) {
            queued.caller.answer(Err(error.clone()));
        }
    }
}

impl Settings {
    pub(crate) fn address(&self) -> String {
        self.info.addr().to_string()
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
