//! How a connection begins: its queue, what its handles share, the task that owns it.
//!
//! Floor 3.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use super::beside::Beside;
use super::clock::Clock;
use super::handle::RedisHandle;
use super::keyspace::Keyspace;
use super::link::Link;
use super::mailbox::Mailbox;
use super::origin::Origin;
use super::refusals::Refusals;
use super::shared::{Settings, Shared};
use super::status::Breaker;
use super::way::Way;

/// Starts the supervisor and returns at once.
pub(crate) fn start(runtime: &Handle, settings: Settings, keyspace: Keyspace) -> RedisHandle {
    let way = Way::One(open(
        runtime,
        settings.clone(),
        &keyspace,
        Breaker::new(),
        false,
    ));
    RedisHandle::new(way, keyspace, settings, runtime.clone())
}

fn open(
    runtime: &Handle,
    settings: Settings,
    keyspace: &Keyspace,
    breaker: Breaker,
    clustered: bool,
) -> Link {
    let shared = Shared {
        breaker,
        refusals: Refusals::new(settings.address()),
        clock: Clock::new(settings.command_timeout),
        mailbox: Arc::new(Mailbox::new(keyspace, settings.instance.as_deref())),
        origin: Arc::default(),
        clustered,
        epochs: watch::Sender::new(0),
        full: Notify::new(),
        closing: Notify::new(),
        #[cfg(feature = "cluster")]
        teller: None,
    };
    Link::open(settings, shared, runtime)
}

impl RedisHandle {
    /// A second connection to where a link leads, for commands that block; made when first asked for, on
    /// the runtime of this handle, and closed with it.
    ///
    /// Nothing is sent on one that is made when this handle was closed already.
    ///
    /// Each of two such commands may take as long as a command may on the first one.
    pub(crate) fn beside(&self, origin: &Origin) -> Arc<Beside> {
        let beside = Beside::of(origin);
        beside.open(|| {
            #[cfg(feature = "cluster")]
            let mut settings = match &origin.node {
                Some(node) => self.settings().at(node),
                None => self.settings().clone(),
            };
            #[cfg(not(feature = "cluster"))]
            let mut settings = self.settings().clone();
            settings.command_timeout *= 3;
            let breaker = Breaker::beside("the connection that waits for replicas");
            let clustered = self.is_cluster();
            open(
                self.runtime(),
                settings,
                self.keyspace(),
                breaker,
                clustered,
            )
        });
        // After it was made: either this sees that the handle was closed, or who closes it sees this.
        if self.is_closed() {
            beside.close();
        }
        beside
    }
}
