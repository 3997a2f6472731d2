//! What the links tell the router.
//!
//! Floor 3.

use redis::{Cmd, ServerError};
use tokio::sync::mpsc;

use super::node::Node;
use super::told::Told;
use crate::redis::error::RedisError;
use crate::redis::queue::{Caller, Queued};

pub(crate) enum News {
    Redirected(Box<Redirected>),
    /// A link is up, away or closed.
    Status,
}

/// A command that was not carried out, and what the node said.
pub(crate) struct Redirected {
    pub(crate) queued: Queued,
    pub(crate) told: Told,
    pub(crate) refused: RedisError,
}

/// One link's end of the way to the router.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    pub(crate) node: Node,
    pub(crate) news: mpsc::UnboundedSender<News>,
}

impl Teller {
    /// Sends a command on its way where its key is elsewhere; gives back the caller where the
    /// error is another one.
    pub(crate) fn redirected(
        &self,
        command: &Cmd,
        caller: Caller,
        error: &ServerError,
    ) -> Option<Caller> {
        let Some(told) = Told::read(error, &self.node) else {
            return Some(caller);
        };
        let queued = Queued {
            command: command.clone(),
            caller: Caller {
                hops: caller.hops.saturating_add(1),
                sent_on: true,
                ..caller
            },
        };
        let refused = RedisError::refused(error);
        let redirected = Redirected {
            queued,
            told,
            refused,
        };
        match self.news.send(News::Redirected(Box::new(redirected))) {
            Err(mpsc::error::SendError(News::Redirected(back))) => Some(back.queued.caller),
            _ => None,
        }
    }

    /// A router that is gone wants to know nothing.
    pub(crate) fn status(&self) {
        let _ = self.news.send(News::Status);
    }
}
