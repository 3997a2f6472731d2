//! Commands that leave as one write, and the way of their replies back to the callers.
//!
//! Floor 3.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::again::Again;
use super::away::AwayCause;
use super::error::{RedisError, RedisErrorKind};
use super::failure::Failure;
use super::mailbox::{Mailbox, Subscription};
use super::queue::{Caller, Queued, Script};
use super::shared::Shared;

type Work = Pin<Box<dyn Future<Output = RedisResult<Replies>> + Send>>;

/// One write on the connection, on its way or answered.
pub(crate) struct Batch {
    work: Work,
    /// The outcome, where the connection was already closed when the batch was handed to it.
    early: Option<RedisResult<Replies>>,
    waiting: Waiting,
    deadline: Instant,
    /// Commands that were sent just before it, whose replies nobody waits for any longer.
    owed_before: usize,
}

/// Who waits for a batch.
enum Waiting {
    One(Caller),
    Many(Vec<Caller>),
    Inbox,
    /// Nobody: a sign of life is all that is wanted.
    Probe,
}

/// The replies, and the commands themselves where one may have to go out again.
pub(crate) enum Replies {
    One(Cmd, Value),
    Many(Pipeline, Vec<Value>),
    Subscribed(RedisResult<()>),
}

impl Batch {
    /// A lone command goes out as itself.
    pub(crate) fn one(
        connection: &MultiplexedConnection,
        Queued { command, caller }: Queued,
        timeout: Duration,
    ) -> Self {
        let mut connection = connection.clone();
        let deadline = caller.since + timeout;
        Self::new(deadline, Waiting::One(caller), async move {
            let value = connection.send_packed_command(&command).await?;
            Ok(Replies::One(command, value))
        })
    }

    /// Several leave as one pipeline, each with a reply of its own.
    pub(crate) fn many(
        connection: &MultiplexedConnection,
        queued: impl ExactSizeIterator<Item = Queued>,
        timeout: Duration,
    ) -> Self {
        let count = queued.len();
        let mut pipeline = Pipeline::with_capacity(count);
        let mut callers = Vec::with_capacity(count);
        for Queued { command, caller } in queued {
            pipeline.add_command(command);
            callers.push(caller);
        }
        // The one that has waited longest decides for all: nobody waits longer than promised.
        let since = callers.iter().map(|caller| caller.since).min();
        let mut connection = connection.clone();
        let deadline = since.unwrap_or_else(Instant::now) + timeout;
        Self::new(deadline, Waiting::Many(callers), async move {
            let values = connection.send_packed_commands(&pipeline, 0, count).await?;
            Ok(Replies::Many(pipeline, values))
        })
    }

    pub(crate) fn subscribe(
        connection: &MultiplexedConnection,
        mailbox: &Mailbox,
        timeout: Duration,
    ) -> Self {
        let mut connection = connection.clone();
        let channel = mailbox.channel().to_owned();
        Self::new(Instant::now() + timeout, Waiting::Inbox, async move {
            match connection.subscribe(channel).await {
                Err(error) if error.is_io_error() || error.is_unrecoverable_error() => Err(error),
                outcome => Ok(Replies::Subscribed(outcome)),
            }
        })
    }

    pub(crate) fn probe(connection: &MultiplexedConnection, deadline: Instant) -> Self {
        let mut connection = connection.clone();
        let command = redis::cmd("PING");
        Self::new(deadline, Waiting::Probe, async move {
            let value = connection.send_packed_command(&command).await?;
            Ok(Replies::One(command, value))
        })
    }

    fn new(
        deadline: Instant,
        waiting: Waiting,
        work: impl Future<Output = RedisResult<Replies>> + Send + 'static,
    ) -> Self {
        Self {
            work: Box::pin(work),
            early: None,
            waiting,
            deadline,
            owed_before: 0,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn len(&self) -> usize {
        match &self.waiting {
            Waiting::Many(callers) => callers.len(),
            _ => 1,
        }
    }

    /// So many more are owed, and come before its own replies.
    pub(crate) fn owed_before(&mut self, commands: usize) {
        self.owed_before += commands;
    }

    /// How many replies have come once its own have.
    pub(crate) fn owed(&self) -> usize {
        self.owed_before + self.len()
    }

    /// Hands the bytes to the connection: the first poll does it, so batches leave in the order
    /// in which they were started.
    ///
    /// Not by what tokio lets a task do in a turn: past that this poll would hand over nothing, and later
    /// batches would leave before this one.
    pub(crate) fn start(&mut self, context: &mut Context<'_>) {
        if let Poll::Ready(result) = pin!(unconstrained(self.work.as_mut())).poll(context) {
            self.early = Some(result);
        }
    }

    /// The replies. Not to be called again after they came.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<RedisResult<Replies>> {
        match self.early.take() {
            Some(result) => Poll::Ready(result),
            None => self.work.as_mut().poll(context),
        }
    }

    /// Whether this batch is the subscription of the inbox.
    pub(crate) fn is_subscription(&self) -> bool {
        matches!(self.waiting, Waiting::Inbox)
    }

    /// Whether this batch is a sign of life.
    pub(crate) fn is_probe(&self) -> bool {
        matches!(self.waiting, Waiting::Probe)
    }

    /// No reply came.
    pub(crate) fn fail(self, error: &RedisError) {
        match self.waiting {
            Waiting::One(caller) => caller.answer(Err(error.clone())),
            Waiting::Many(callers) => callers
                .into_iter()
                .for_each(|caller| caller.answer(Err(error.clone()))),
            // The supervisor subscribes anew on the next connection.
            Waiting::Inbox | Waiting::Probe => {}
        }
    }

    /// Gives each caller its reply. Scripts that Redis does not know come back in `again`.
    ///
    /// Returns why Redis cannot serve at all, where an error reply says so.
    pub(crate) fn settle(
        self,
        replies: Replies,
        shared: &Shared,
        again: &mut Again,
    ) -> Option<Failure> {
        let mailbox = &shared.mailbox;
        let mut away = None;
        match (self.waiting, replies) {
            (Waiting::One(caller), Replies::One(command, value)) => {
                settle(caller, &command, value, shared, again, &mut away);
            }
            (Waiting::Many(callers), Replies::Many(pipeline, values)) => {
                for ((caller, command), value) in
                    callers.into_iter().zip(pipeline.cmd_iter()).zip(values)
                {
                    settle(caller, command, value, shared, again, &mut away);
                }
            }
            (Waiting::Inbox, Replies::Subscribed(outcome)) => {
                let command = redis::cmd("SUBSCRIBE");
                mailbox.set(match outcome {
                    Ok(()) => {
                        shared.refusals.answered(&command, None);
                        Subscription::Confirmed
                    }
                    Err(error) => {
                        let text = format!("Redis refused the inbox channel: {error}");
                        let error = RedisError::new(RedisErrorKind::Refused, text);
                        shared.refusals.refused(&command, None, &error);
                        Subscription::Refused(error, Instant::now())
                    }
                });
            }
            // A probe; and no other pair is ever built.
            _ => {}
        }
        away
    }
}

fn settle(
    caller: Caller,
    command: &Cmd,
    value: Value,
    shared: &Shared,
    again: &mut Again,
    away: &mut Option<Failure>,
) {
    let script = caller.script.text();
    again.answered(caller.script);
    let error = match value {
        Value::ServerError(error) => error,
        value => {
            // A write that came too late did nothing (`session/redis/late.rs`): with that nothing is over. No
            // other script replies a number so low.
            let is_late = script.is_some() && matches!(value, Value::Int(..=-1_000_000));
            if !is_late {
                shared.refusals.answered(command, script);
            }
            if let Some(trace) = &caller.trace {
                trace.answered(&shared.origin);
            }
            return caller.answer(Ok(value));
        }
    };
    #[cfg(feature = "cluster")]
    let caller = match &shared.teller {
        Some(teller) => match teller.redirected(command, caller, &error) {
            Some(caller) => caller,
            None => return,
        },
        None => caller,
    };
    if let ("NOSCRIPT", Script::Named(text) | Script::NamedAgain(text)) =
        (error.code(), caller.script)
    {
        return again.take(command, caller, text);
    }
    let refused = RedisError::refused(&error);
    if let Some(cause) = refused.code().and_then(AwayCause::of_reply) {
        *away = Some(Failure::new(cause, refused.to_string()));
    } else {
        shared.refusals.refused(command, script, &refused);
    }
    caller.answer(Err(refused));
}
