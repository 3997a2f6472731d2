//! The task that follows the cluster: keeps the map of the slots, and sends on what was
//! redirected.
//!
//! Floor 3.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::hold::Hold;
use super::look::look;
use super::news::{News, Redirected};
use super::node::Node;
use super::nodes::Nodes;
use super::slot;
use super::slots_reply::Slots;
use super::told::Told;
use crate::redis::backoff::Backoff;
use crate::redis::error::{RedisError, RedisErrorKind};
use crate::redis::failure::Failure;
use crate::redis::keyspace::Keyspace;
use crate::redis::link::Link;
use crate::redis::mailbox::Mailbox;
use crate::redis::queue::Queued;
use crate::redis::shared::Settings;
use crate::redis::status::{away, closed};
use crate::redis::supervisor::until;
use crate::redis::way::Way;
use crate::telemetry::redis_up::UpMark;

/// The slots are not looked up more often because of redirects, which correct the map themselves:
/// every lock is asked for again when it has changed.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a look may take before another one begins beside it.
const OVERLAP: Duration = Duration::from_millis(400);

/// How often one command is sent on, and how often at once. Two are usual: after a fail-over, and into
/// a slot on its way. More are nodes that do not agree yet.
const HOPS: u8 = 16;
const AT_ONCE: u8 = 4;

/// How soon a command is sent again where keys are on their way, or nodes do not agree.
const SOON: Duration = Duration::from_millis(20);

/// Ends with the handle: it holds no link itself, and the links' ends of the channel go with them.
pub(crate) struct Router {
    nodes: Weak<Nodes>,
    mark: UpMark,
    news: mpsc::UnboundedReceiver<News>,
    later: JoinSet<Queued>,
    /// With when each began.
    looking: JoinSet<(Result<Slots, Failure>, Instant)>,
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
    /// A look is planned because somebody is away.
    is_pressing: bool,
    backoff: Backoff,
    /// When the last handle is gone, what is still needed.
    inherits: Option<oneshot::Receiver<Arc<Nodes>>>,
    /// Until what was sent has timed out.
    inherited: Option<(Arc<Nodes>, Instant)>,
}

impl Router {
    /// Begins to look for the cluster on `runtime`.
    pub(crate) fn start(
        seeds: BTreeSet<Node>,
        settings: Settings,
        keyspace: &Keyspace,
        runtime: &Handle,
    ) -> Way {
        let (tell, news) = mpsc::unbounded_channel();
        let (heir, inherits) = oneshot::channel();
        let mailbox = Mailbox::new(keyspace, settings.instance.as_deref());
        let nodes = Nodes::new(seeds, settings, mailbox, runtime.clone(), tell);
        let nodes = Arc::new(nodes);
        let router = Self {
            nodes: Arc::downgrade(&nodes),
            mark: UpMark::default(),
            news,
            later: JoinSet::new(),
            looking: JoinSet::new(),
            look_at: Some(Instant::now()),
            looked_at: None,
            is_pressing: false,
            backoff: Backoff::default(),
            inherits: Some(inherits),
            inherited: None,
        };
        runtime.spawn(router.run());
        Way::Many(Hold::new(nodes, heir))
    }

    async fn run(mut self) {
        while self.next().await {}
        self.news.close();
        while let Some(news) = self.news.recv().await {
            if let News::Redirected(redirected) = news {
                redirected.queued.caller.answer(Err(closed()));
            }
        }
        while let Some(later) = self.later.join_next().await {
            if let Ok(queued) = later {
                queued.caller.answer(Err(closed()));
            }
        }
    }

    /// Returns whether there is anything left to follow.
    async fn next(&mut self) -> bool {
        tokio::select! {
            news = self.news.recv() => match news {
                Some(News::Redirected(redirected)) => {
                    self.redirect(*redirected);
                    true
                }
                Some(News::Status) => {
                    self.review();
                    !self.nodes.upgrade().is_some_and(|nodes| nodes.is_over())
                }
                None => false,
            },
            Some(Ok(queued)) = self.later.join_next() => {
                self.send_on(queued);
                true
            }
            Some(found) = self.looking.join_next() => {
                let (found, begun) = found.unwrap_or_else(|_| {
                    let failure = Failure::unreachable("a look at the slots ended without a result");
                    (Err(failure), Instant::now())
                });
                if found.is_ok() {
                    self.looking.abort_all();
                    self.looking.detach_all();
                }
                // Whatever was planned meanwhile is planned anew, by what is known now.
                if self.looking.is_empty() {
                    self.look_at = None;
                    self.is_pressing = false;
                }
                let nodes = self.nodes.upgrade();
                if nodes.is_some_and(|nodes| nodes.adopt(found, begun)) {
                    self.redirects_look();
                }
                self.review();
                true
            }
            nodes = left(&mut self.inherits) => {
                self.inherited = nodes.map(|nodes| {
                    let end = Instant::now() + nodes.settings().command_timeout;
                    (nodes, end)
                });
                true
            }
            () = until(self.inherited.as_ref().map(|(_, end)| *end)) => {
                self.inherited = None;
                true
            }
            () = until(self.look_at) => {
                self.look();
                true
            }
        }
    }

    /// Whether to look at the slots again, where a link came or went.
    fn review(&mut self) {
        let Some(nodes) = self.nodes.upgrade() else {
            return;
        };
        if nodes.is_closed() {
            self.mark.tell(None);
        } else if let Some(is_up) = nodes.is_known_up() {
            self.mark.tell(Some(is_up));
        }
        if !nodes.wants_a_look() {
            self.backoff = Backoff::default();
        } else if !self.is_pressing {
            self.is_pressing = true;
            let delay = self.backoff.next();
            self.look_by(Instant::now() + delay);
        }
    }

    fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |planned| planned.min(at)));
    }

    fn redirects_look(&mut self) {
        let now = Instant::now();
        self.look_by(self.looked_at.map_or(now, |last| now.max(last + PAUSE)));
    }

    /// Another one begins while this hangs: whom it asks may be cut off.
    fn look(&mut self) {
        let now = Instant::now();
        self.look_at = None;
        self.is_pressing = false;
        if let Some(nodes) = self.nodes.upgrade() {
            self.looked_at = Some(now);
            self.look_at = Some(now + OVERLAP);
            let timeout = nodes.settings().connect_timeout;
            let look = look(nodes.candidates(), timeout);
            self.looking.spawn(async move { (look.await, now) });
        }
    }

    /// Sends a command to where it belongs. It was not carried out, so that is safe.
    fn redirect(&mut self, redirected: Redirected) {
        let Redirected {
            mut queued,
            told,
            refused,
        } = redirected;
        let Some(nodes) = self.nodes.upgrade() else {
            return queued.caller.answer(Err(closed()));
        };
        let timeout = nodes.settings().command_timeout;
        let left = (queued.caller.since + timeout).saturating_duration_since(Instant::now());
        match told {
            _ if queued.caller.hops > HOPS || left.is_zero() => {
                self.redirects_look();
                queued.caller.answer(Err(RedisError::away(
                    "the key's slot could not be found in time: the command was not carried out",
                )));
            }
            Told::Moved(slot, node) => {
                self.redirects_look();
                let link = nodes.moved(slot, &node);
                if queued.caller.hops <= AT_ONCE {
                    hand(link, queued, false);
                } else {
                    self.send_later(queued);
                }
            }
            Told::Elsewhere => {
                self.redirects_look();
                self.send_later(queued);
            }
            Told::Ask(node) => {
                hand(nodes.importing(&node), queued, true);
            }
            // One that is sent too late is not known to be refused.
            Told::Later if left > timeout / 4 => {
                queued.caller.hops = 0;
                self.send_later(queued);
            }
            Told::Later => queued.caller.answer(Err(refused)),
            Told::Down => {
                nodes.down(refused.to_string());
                let error = RedisError::new(RedisErrorKind::Away, refused.to_string());
                queued.caller.answer(Err(error));
                self.review();
            }
        }
    }

    fn send_later(&mut self, queued: Queued) {
        self.later.spawn(async move {
            tokio::time::sleep(SOON).await;
            queued
        });
    }

    /// After a pause, to whoever has the slot now.
    fn send_on(&self, queued: Queued) {
        let link = slot::of_command(&queued.command)
            .zip(self.nodes.upgrade())
            .and_then(|(slot, nodes)| nodes.of_slot(slot));
        hand(link, queued, false);
    }
}

/// Once: the last handle is gone.
async fn left(inherits: &mut Option<oneshot::Receiver<Arc<Nodes>>>) -> Option<Arc<Nodes>> {
    let nodes = match inherits {
        Some(nodes) => nodes.await.ok(),
        None => std::future::pending().await,
    };
    *inherits = None;
    nodes
}

fn hand(link: Option<Arc<Link>>, queued: Queued, asking: bool) {
    match link {
        Some(link) => link.forward(queued, asking),
        None => queued.caller.answer(Err(away())),
    }
}
