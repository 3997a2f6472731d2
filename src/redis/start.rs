//! How a connection begins: its queue, what its handles share, the task that owns it.
//!
//! Floor 3.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::clock::Clock;
use super::handle::RedisHandle;
use super::keyspace::Keyspace;
use super::link::Link;
use super::mailbox::Mailbox;
use super::refusals::Refusals;
use super::shared::{Settings, Shared};
use super::status::Breaker;
use super::way::Way;

/// Starts the supervisor and returns at once.
pub(crate) fn start(
    runtime: &Handle,
    settings: Settings,
    keyspace: Keyspace,
    breaker: Breaker,
) -> RedisHandle {
    let shared = Shared {
        breaker,
        refusals: Refusals::new(settings.address()),
        clock: Clock::new(settings.command_timeout),
        mailbox: Arc::new(Mailbox::new(&keyspace, settings.instance.as_deref())),
        epochs: watch::Sender::new(0),
        full: Notify::new(),
        closing: Notify::new(),
        #[cfg(feature = "cluster")]
        teller: None,
    };
    let way = Way::One(Link::open(settings.clone(), shared, runtime));
    RedisHandle::new(way, keyspace, settings, runtime.clone())
}

impl RedisHandle {
    /// A second connection to the same Redis, for commands that block; made when first asked for, on
    /// the runtime of this one, and closed with it.
    ///
    /// Nothing is sent on one that is made when this handle was closed already.
    ///
    /// Each of two such commands may take as long as a command may on this one.
    pub(crate) fn beside(&self) -> &RedisHandle {
        let beside = self.beside_cell().get_or_init(|| {
            let mut settings = self.settings().clone();
            settings.command_timeout *= 3;
            let keyspace = self.keyspace().clone();
            let breaker = Breaker::beside("the connection that waits for replicas");
            start(self.runtime(), settings, keyspace, breaker)
        });
        // After it was made: either this sees that the handle was closed, or who closes it sees this.
        if self.is_closed() {
            beside.way().close();
        }
        beside
    }
}
