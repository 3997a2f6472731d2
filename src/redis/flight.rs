//! Batches on their way on one connection: replies in order, deadlines, signs of life.
//!
//! Floor 3.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

use super::batch::{Batch, Replies};
use super::error::RedisError;

/// What was sent on one connection and not answered yet.
///
/// Redis answers in the order of sending, so only the oldest batch is watched. One timer serves
/// all: it is set when it would ring too late, and looks at every deadline when it rings, about
/// once a time-out.
///
/// What timed out is still owed: its replies wait in Redis, and count against the window, until a later
/// batch is answered. Where none is on its way a PING is sent behind it.
pub(crate) struct Flight {
    connection: MultiplexedConnection,
    batches: VecDeque<Batch>,
    /// All that Redis owes a reply for, whether anybody still waits for it or not.
    commands: usize,
    /// Those of them that timed out and have no batch behind them.
    last_owed: usize,
    timer: Pin<Box<Sleep>>,
    rings_at: Option<Instant>,
    /// The timer rang, and should have then; replies that had come by now still count.
    rang: Option<Instant>,
    doubt: Option<Doubt>,
    timeout: Duration,
}

/// Begun by a time-out, ended by any reply.
struct Doubt {
    begun: Instant,
    /// When the connection is given up.
    until: Instant,
}

/// For so many time-outs at most a process that has no time itself takes a silence for its own.
const OWN_DELAY: u32 = 6;

/// What can happen on a connection by itself.
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart where it is returned, never stored"
)]
pub(crate) enum Event {
    /// The oldest batch was answered.
    Landed(Batch, Replies),
    /// A deadline may have passed. Whoever reads the socket is to have a turn before the next
    /// event: where this process stood still, replies may lie there.
    Rang,
    /// A deadline may have passed, and no reply was there.
    Due,
    /// The connection has ended.
    Lost(redis::RedisError),
}

impl Flight {
    pub(crate) fn new(connection: MultiplexedConnection, timeout: Duration) -> Self {
        Self {
            connection,
            batches: VecDeque::new(),
            commands: 0,
            last_owed: 0,
            timer: Box::pin(tokio::time::sleep(timeout)),
            rings_at: None,
            rang: None,
            doubt: None,
            timeout,
        }
    }

    pub(crate) fn connection(&self) -> &MultiplexedConnection {
        &self.connection
    }

    /// How many replies are to come.
    pub(crate) fn commands(&self) -> usize {
        self.commands
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether more than signs of life is on its way.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.batches.iter().all(Batch::is_probe)
    }

    /// Hands a batch to the connection, behind all earlier ones. Never waits.
    pub(crate) async fn push(&mut self, mut batch: Batch) {
        poll_fn(|context| {
            batch.start(context);
            Poll::Ready(())
        })
        .await;
        self.ring_by(batch.deadline());
        self.commands += batch.len();
        batch.owed_before(mem::take(&mut self.last_owed));
        self.batches.push_back(batch);
    }

    /// What happens next. For ever pending while nothing is on its way.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn event(&mut self) -> Event {
        poll_fn(|context| {
            if let Some(oldest) = self.batches.front_mut()
                && let Poll::Ready(result) = oldest.poll(context)
            {
                return Poll::Ready(self.answered(result));
            }
            if let Some(due) = self.rang.take() {
                self.allow_for(due.elapsed());
                return Poll::Ready(Event::Due);
            }
            if self.rings_at.is_some() && self.timer.as_mut().poll(context).is_ready() {
                self.rang = self.rings_at.take();
                return Poll::Ready(Event::Rang);
            }
            Poll::Pending
        })
        .await
    }

    /// The oldest batch, where its replies are there.
    pub(crate) fn landed(&mut self) -> Option<(Batch, Replies)> {
        let oldest = self.batches.front_mut()?;
        let polled = pin!(unconstrained(poll_fn(|context| oldest.poll(context))))
            .poll(&mut Context::from_waker(Waker::noop()));
        match polled {
            Poll::Ready(Ok(replies)) => Some((self.batches.pop_front()?, replies)),
            _ => None,
        }
    }

    /// The timer is heard so late. A process with more to do than time for it hears its timer late, and reads
    /// replies no sooner: the silence may be its own, and to connect anew would be more to do. So Redis
    /// has its half of a time-out once more.
    fn allow_for(&mut self, late: Duration) {
        if late > self.timeout / 10
            && let Some(Doubt { begun, until }) = &mut self.doubt
            && begun.elapsed() < self.timeout * OWN_DELAY
        {
            *until = Instant::now() + self.timeout / 2;
        }
    }

    fn answered(&mut self, result: RedisResult<Replies>) -> Event {
        self.doubt = None;
        let batch = self.batches.pop_front();
        self.commands -= batch.as_ref().map_or(0, Batch::owed);
        match (result, batch) {
            (Ok(replies), Some(batch)) => Event::Landed(batch, replies),
            (Ok(_), None) => Event::Due,
            (Err(error), batch) => {
                if let Some(batch) = batch {
                    batch.fail(&lost(Some(error.clone())));
                }
                Event::Lost(error)
            }
        }
    }

    /// Answers who has waited long enough. Returns whether the connection is to be given up.
    ///
    /// One time-out alone is not the end: Redis may have been busy for a moment. From then on
    /// the connection has half a time-out to show any sign of life, the answer to a PING if no other:
    /// of a Redis that is far, each reply may come just after its time-out. Nobody waits for the PING: it
    /// stays on its way past its deadline, to tell what is owed no longer, and begins a doubt of its own.
    pub(crate) async fn expire(&mut self) -> bool {
        let now = Instant::now();
        if self.doubt.as_ref().is_some_and(|doubt| doubt.until <= now) {
            return true;
        }
        let mut kept = VecDeque::with_capacity(self.batches.len());
        let mut uncertain = false;
        let mut owed = 0;
        for mut batch in self.batches.drain(..) {
            let is_due = batch.deadline() <= now;
            if is_due {
                let until = now + self.timeout / 2;
                self.doubt.get_or_insert(Doubt { begun: now, until });
            }
            if !is_due || batch.is_probe() {
                batch.owed_before(mem::take(&mut owed));
                kept.push_back(batch);
                continue;
            }
            // Redis may have subscribed all the same; only a fresh connection is certain.
            uncertain |= batch.is_subscription();
            owed += batch.owed();
            batch.fail(&RedisError::unknown(
                "Redis did not answer in time: the command may have been carried out",
                None,
            ));
        }
        self.batches = kept;
        self.last_owed += owed;
        if uncertain {
            return true;
        }
        if let Some(Doubt { until, .. }) = self.doubt {
            // Often, so that it shows how late this process is.
            self.ring_by(until.min(now + self.timeout / 10));
            if self.last_owed > 0 || !self.batches.iter().any(Batch::is_probe) {
                let probe = Batch::probe(&self.connection, until);
                self.push(probe).await;
            }
        }
        // A PING that is due has begun a doubt, and that rings.
        let deadlines = self.batches.iter().map(Batch::deadline);
        if let Some(earliest) = deadlines.filter(|deadline| *deadline > now).min() {
            self.ring_by(earliest);
        }
        false
    }

    /// The connection is gone: nobody waits for its replies any longer.
    pub(crate) fn fail(self, source: Option<redis::RedisError>) {
        let error = lost(source);
        for batch in self.batches {
            batch.fail(&error);
        }
    }

    fn ring_by(&mut self, deadline: Instant) {
        if self.rings_at.is_none_or(|at| deadline < at) {
            // How late the timer is heard says how late this process is, not how old a command is.
            let deadline = deadline.max(Instant::now());
            self.timer.as_mut().reset(deadline);
            self.rings_at = Some(deadline);
        }
    }
}

fn lost(source: Option<redis::RedisError>) -> RedisError {
    RedisError::unknown(
        "the connection to Redis was lost before the reply: the command may have been carried out",
        source,
    )
}
