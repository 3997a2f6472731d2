//! What waits to be sent, and who waits for the reply.
//!
//! Floor 3.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::{RedisError, RedisErrorKind};
use super::trace::Trace;
use crate::telemetry::names::RedisCommands;
use crate::telemetry::record::count;

pub(crate) type Reply = Result<redis::Value, RedisError>;

/// What the handles ask of the supervisor, in the order in which they asked.
#[derive(Debug)]
pub(crate) enum Item {
    Command(Queued),
    /// A command for a slot that is on its way to this node.
    #[cfg(feature = "cluster")]
    Asking(Queued),
    /// Somebody wants the inbox: subscribe, now and after every reconnection.
    Subscribe,
    /// The connection of this number leads to the wrong server: make another one.
    Replace(u64),
}

/// One command and its caller.
pub(crate) struct Queued {
    pub(crate) command: redis::Cmd,
    pub(crate) caller: Caller,
}

impl Queued {
    /// The time-out counts from `since`.
    pub(crate) fn new(
        command: redis::Cmd,
        script: Option<&'static str>,
        since: Instant,
    ) -> (Self, Answer) {
        // It would get no reply, and every later command the reply of the one before it.
        debug_assert!(command.args_iter().len() > 0, "an empty command");
        let (reply, answer) = oneshot::channel();
        let caller = Caller::new(reply, script, since);
        (Self { command, caller }, Answer(answer))
    }

    /// What a node wants to hear in front of a command for a slot that is not its own yet. Nobody
    /// waits for the answer.
    #[cfg(feature = "cluster")]
    pub(crate) fn asking(since: Instant) -> Self {
        let mut caller = Caller::new(oneshot::channel().0, None, since);
        caller.sent_on = true;
        caller.asking = true;
        Self {
            command: redis::cmd("ASKING"),
            caller,
        }
    }

    /// Whether its caller waits, and has waited too long.
    pub(crate) fn is_late(&self, now: Instant, timeout: Duration) -> bool {
        self.caller.since + timeout <= now && self.is_waited_for()
    }

    /// What nobody waits for goes out however late.
    pub(crate) fn is_waited_for(&self) -> bool {
        !self.caller.reply.is_closed()
    }

    /// Whether it goes with the one behind it.
    pub(crate) fn is_asking(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.caller.asking;
        #[cfg(not(feature = "cluster"))]
        false
    }

    /// Whether it leaves by itself: a pipeline ends with the first of its time-outs, and this one's
    /// began long before the others'.
    pub(crate) fn leaves_alone(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.caller.sent_on;
        #[cfg(not(feature = "cluster"))]
        false
    }
}

impl std::fmt::Debug for Queued {
    // The command holds values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queued").finish_non_exhaustive()
    }
}

/// The reply to come. Dropped, the command goes out all the same.
pub(crate) struct Answer(oneshot::Receiver<Reply>);

impl Answer {
    pub(crate) async fn reply(self) -> Reply {
        // The supervisor watches the time for all. It answers everybody, unless its runtime was
        // shut down under it.
        self.0.await.unwrap_or_else(|_| {
            Err(RedisError::unknown(
                "the runtime of the Redis handle has ended: the command may have been carried out",
                None,
            ))
        })
    }
}

/// How a command says which script it runs; each with the script's text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Script {
    None,
    /// By its digest.
    Named(&'static str),
    /// By its digest, behind one that has the text.
    NamedAgain(&'static str),
    /// By its text.
    Whole(&'static str),
}

impl Script {
    pub(crate) fn text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Named(text) | Self::NamedAgain(text) | Self::Whole(text) => Some(text),
        }
    }
}

pub(crate) struct Caller {
    pub(crate) reply: oneshot::Sender<Reply>,
    pub(crate) script: Script,
    /// The time-out counts from here, through a second sending too.
    pub(crate) since: Instant,
    /// Where it is noted who carried it out.
    pub(crate) trace: Option<Arc<Trace>>,
    /// How often it was sent on, since it was last told to wait.
    #[cfg(feature = "cluster")]
    pub(crate) hops: u8,
    /// Another node had it before.
    #[cfg(feature = "cluster")]
    pub(crate) sent_on: bool,
    /// It is what a node wants to hear in front of another command.
    #[cfg(feature = "cluster")]
    pub(crate) asking: bool,
}

impl Caller {
    fn new(reply: oneshot::Sender<Reply>, script: Option<&'static str>, since: Instant) -> Self {
        Self {
            reply,
            script: script.map_or(Script::None, Script::Named),
            since,
            trace: None,
            #[cfg(feature = "cluster")]
            hops: 0,
            #[cfg(feature = "cluster")]
            sent_on: false,
            #[cfg(feature = "cluster")]
            asking: false,
        }
    }

    /// A caller that has gone away does not want the reply: nothing to do then.
    pub(crate) fn answer(self, reply: Reply) {
        count(match reply.as_ref().map_err(RedisError::kind) {
            Ok(_) => RedisCommands::Answered,
            Err(RedisErrorKind::Away) => RedisCommands::Away,
            Err(RedisErrorKind::Unknown) => RedisCommands::Unknown,
            Err(RedisErrorKind::Refused) => RedisCommands::Refused,
        });
        let _ = self.reply.send(reply);
    }
}
