//! What the rest of the crate asks of Redis: one command, a script, a script many times.
//!
//! Floor 3.

use redis::{Cmd, Value};
use tokio::time::{Instant, timeout};

use super::beside::useless;
use super::error::RedisError;
use super::handle::RedisHandle;
use super::queue::{Answer, Queued};
use super::script::Script;
use super::way::Way;
use crate::telemetry::names::RedisCommands;
use crate::telemetry::record::count;

impl RedisHandle {
    /// Sends one command and waits for its reply, no longer than the command time-out.
    ///
    /// Once polled, the command goes out even if the future is dropped; not where a Cluster's slots are still
    /// being looked up, or where a [traced](Self::traced) handle asks first. Commands of one task
    /// are carried out in the order in which they were first polled.
    ///
    /// A traced handle notes who carries it out. It sends nothing, and says `Away`, where it is known that
    /// nobody could wait for replicas; what Redis refused on the second connection is asked there once
    /// more before: one round trip, the command time-out at most.
    ///
    /// Not for commands that block or change the connection (`BLPOP`, `WAIT`, `MULTI`,
    /// `SUBSCRIBE`): all share one.
    pub(crate) async fn send(&self, command: Cmd) -> Result<Value, RedisError> {
        self.ask(command, None).await
    }

    /// Runs a script: EVALSHA, and one EVAL where Redis does not know it. As [`send`](Self::send).
    pub(crate) async fn run(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<Value, RedisError> {
        self.run_built(script, script.by_digest(keys, args)).await
    }

    /// As [`run`](Self::run), where the command is put together already.
    pub(crate) async fn run_built(
        &self,
        script: &Script,
        command: Cmd,
    ) -> Result<Value, RedisError> {
        self.ask(command, Some(script.text())).await
    }

    /// Runs a script many times at once, each time on keys of its own: one round trip for all.
    ///
    /// One answer for each, in their order: who has one key may be away, and who has another not.
    #[cfg(feature = "cluster")]
    pub(crate) async fn run_all(
        &self,
        script: &Script,
        commands: impl Iterator<Item = Cmd>,
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let since = Instant::now();
        self.started().await?;
        let mut asked = Vec::new();
        for command in commands {
            asked.push(match self.could_last(&command).await {
                Ok(()) => self.enqueue(command, Some(script.text()), since),
                Err(error) => Err(error),
            });
        }
        let mut replies = Vec::with_capacity(asked.len());
        for answer in asked {
            replies.push(match answer {
                Ok(answer) => answer.reply().await,
                Err(error) => Err(error),
            });
        }
        Ok(replies)
    }

    /// Whether the first look at a Cluster's slots has ended.
    #[cfg(feature = "cluster")]
    async fn started(&self) -> Result<(), RedisError> {
        match self.way() {
            Way::One(_) => Ok(()),
            Way::Many(nodes) => nodes.started().await,
        }
    }

    /// Whether a Cluster has a node that answers, though others may be away.
    pub(crate) async fn serves_some(&self) -> bool {
        match self.way() {
            Way::One(_) => false,
            #[cfg(feature = "cluster")]
            Way::Many(nodes) => nodes.serves_some().await,
        }
    }

    async fn ask(&self, command: Cmd, script: Option<&'static str>) -> Result<Value, RedisError> {
        // Before the Cluster is known: that takes its part of the time-out.
        let since = Instant::now();
        #[cfg(feature = "cluster")]
        self.started().await?;
        self.could_last(&command).await?;
        self.enqueue(command, script, since)?.reply().await
    }

    /// Of what is to be waited for afterwards: whether anybody could. No longer than a command may take.
    async fn could_last(&self, command: &Cmd) -> Result<(), RedisError> {
        if self.trace().is_none() {
            return Ok(());
        }
        let could = timeout(self.command_timeout(), self.way().could_last(command)).await;
        let could = could.unwrap_or_else(|_| Err(useless("the second connection is silent")));
        could.inspect_err(|_| count(RedisCommands::Away))
    }

    fn enqueue(
        &self,
        command: Cmd,
        script: Option<&'static str>,
        since: Instant,
    ) -> Result<Answer, RedisError> {
        let (mut queued, answer) = Queued::new(command, script, since);
        queued.caller.trace = self.trace().cloned();
        let enqueued = self.way().enqueue(queued);
        enqueued.inspect_err(|_| count(RedisCommands::Away))?;
        Ok(answer)
    }
}
