//! What waits to be sent, and who waits for the reply.
//!
//! Floor 3.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::{RedisError, RedisErrorKind};
use crate::telemetry::names::RedisCommands;
use crate::telemetry::record::count;

pub(crate) type Reply = Result<redis::Value, RedisError>;

/// What the handles ask of the supervisor, in the order in which they asked.
#[derive(Debug)]
pub(crate) enum Item {
    Command(Queued),
    /// Somebody wants the inbox: subscribe, now and after every reconnection.
    Subscribe,
    /// The connection of this epoch leads to the wrong server: make another one.
    Replace(u64),
    /// Send what is queued, wait for its replies, then end.
    Close,
}

/// One command and its caller.
pub(crate) struct Queued {
    pub(crate) command: redis::Cmd,
    pub(crate) caller: Caller,
}

impl std::fmt::Debug for Queued {
    // The command holds values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queued").finish_non_exhaustive()
    }
}

pub(crate) struct Caller {
    pub(crate) reply: oneshot::Sender<Reply>,
    /// The text to send where Redis does not know the script.
    pub(crate) script: Option<&'static str>,
    /// The time-out counts from here, through a second sending too.
    pub(crate) since: Instant,
}

impl Caller {
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
