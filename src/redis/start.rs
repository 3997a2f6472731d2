//! How a connection begins: its queue, what its handles share, the task that owns it.
//!
//! Floor 3.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};

use super::clock::Clock;
use super::handle::RedisHandle;
use super::keyspace::Keyspace;
use super::mailbox::Mailbox;
use super::shared::{Settings, Shared};
use super::status::Breaker;
use super::supervisor::Supervisor;

/// Starts the supervisor and returns at once.
pub(crate) fn start(
    runtime: &Handle,
    settings: Settings,
    keyspace: Keyspace,
    breaker: Breaker,
) -> RedisHandle {
    let shared = Arc::new(Shared {
        breaker,
        clock: Clock::new(settings.command_timeout),
        mailbox: Arc::new(Mailbox::new(&keyspace, settings.instance.as_deref())),
        epochs: watch::Sender::new(0),
        full: Notify::new(),
    });
    let (queue, items) = mpsc::channel(settings.queue_bound);
    runtime.spawn(Supervisor::new(settings.clone(), Arc::clone(&shared), items).run());
    RedisHandle::new(queue, shared, keyspace, settings, runtime.clone())
}

impl RedisHandle {
    /// A second connection to the same Redis, for commands that block; made when first asked for, on
    /// the runtime of this one, and closed with it.
    ///
    /// Each of two such commands may take as long as a command may on this one.
    pub(crate) fn beside(&self) -> &RedisHandle {
        self.beside_cell().get_or_init(|| {
            let mut settings = self.settings().clone();
            settings.command_timeout *= 3;
            let keyspace = self.keyspace().clone();
            start(self.runtime(), settings, keyspace, Breaker::silent())
        })
    }
}
