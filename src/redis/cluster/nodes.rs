//! The links to the masters, and which of them has which slot.
//!
//! Floor 3.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redis::Cmd;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::news::News;
use super::node::Node;
use super::slot::{self, SLOTS};
use crate::redis::away::AwayCause;
use crate::redis::clock::Clock;
use crate::redis::dial::Target;
use crate::redis::error::RedisError;
use crate::redis::failure::Failure;
use crate::redis::link::Link;
use crate::redis::mailbox::Mailbox;
use crate::redis::shared::Settings;
use crate::redis::status::{away, closed};

/// The candidates for one look at the slots.
const ASKED: usize = 2;

/// The nodes of one cluster, as one handle knows them.
pub(crate) struct Nodes {
    seeds: BTreeSet<Node>,
    /// As for the first seed; every node has its own address in it.
    pub(super) settings: Settings,
    pub(super) runtime: Handle,
    pub(super) news: mpsc::UnboundedSender<News>,
    /// Grows with every connection of any link, and when slots moved.
    pub(crate) epochs: watch::Sender<u64>,
    /// One channel for all: whoever stands in line can be reached through every node.
    pub(crate) mailbox: Mailbox,
    /// For when no link is there.
    pub(super) clock: Clock,
    pub(super) phase: watch::Sender<Phase>,
    state: RwLock<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody has been asked yet, or not answered.
    Starting,
    Known,
    Closed,
}

pub(super) struct State {
    pub(super) links: BTreeMap<Node, Arc<Link>>,
    pub(super) slots: Box<[Option<Arc<Link>>]>,
    /// Who was named when the slots were last looked up, replicas included.
    pub(super) named: BTreeSet<Node>,
    /// Why the slots are not known, or are not served whoever has them.
    pub(super) trouble: Option<Failure>,
    /// Under which cause this was last logged.
    pub(super) said: Option<AwayCause>,
    /// What redirects changed since the map was last looked up, and when.
    pub(super) patched: BTreeMap<u16, Instant>,
}

impl Nodes {
    pub(crate) fn new(
        seeds: BTreeSet<Node>,
        settings: Settings,
        mailbox: Mailbox,
        runtime: Handle,
        news: mpsc::UnboundedSender<News>,
    ) -> Self {
        Self {
            seeds,
            clock: Clock::new(settings.command_timeout),
            settings,
            runtime,
            news,
            epochs: watch::Sender::new(0),
            mailbox,
            phase: watch::Sender::new(Phase::Starting),
            state: RwLock::new(State {
                links: BTreeMap::new(),
                slots: vec![None; usize::from(SLOTS)].into(),
                named: BTreeSet::new(),
                trouble: Some(Failure::unreachable("not connected yet")),
                said: None,
                patched: BTreeMap::new(),
            }),
        }
    }

    /// The seeds, without user and password.
    pub(crate) fn address(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(ToString::to_string).collect();
        seeds.join(",")
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Resolves once the first look at the slots has ended, or a command may not wait for it any
    /// longer.
    pub(crate) async fn started(&self) -> Result<(), RedisError> {
        if *self.phase.borrow() != Phase::Starting {
            return Ok(());
        }
        let mut phase = self.phase.subscribe();
        let begun = phase.wait_for(|phase| *phase != Phase::Starting);
        match tokio::time::timeout(self.settings.command_timeout, begun).await {
            Ok(_) => Ok(()),
            Err(_) => Err(away()),
        }
    }

    /// The link to whoever has the command's key; any that is up where it has none.
    pub(crate) fn of_command(&self, command: &Cmd) -> Result<Arc<Link>, RedisError> {
        let link = match slot::of_command(command) {
            Some(slot) => self.of_slot(slot),
            None => self.any(),
        };
        link.ok_or_else(|| if self.is_closed() { closed() } else { away() })
    }

    pub(crate) fn of_slot(&self, slot: u16) -> Option<Arc<Link>> {
        self.read().slots.get(usize::from(slot))?.clone()
    }

    /// One that is up; or, where none is, any.
    fn any(&self) -> Option<Arc<Link>> {
        let state = self.read();
        let up = state.links.values().find(|link| is_up(link));
        up.or_else(|| state.links.values().next()).cloned()
    }

    pub(crate) fn each(&self, does: impl FnMut(&Link)) {
        self.all().iter().map(Arc::as_ref).for_each(does);
    }

    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        self.read().links.values().cloned().collect()
    }

    /// The time at the first node that is up: the same one for a whole fleet, most of the time.
    pub(crate) fn now_ms(&self) -> u64 {
        match self.any() {
            Some(link) => link.shared.clock.now_ms(),
            None => self.clock.now_ms(),
        }
    }

    /// Whether looking at the slots again may help: a link that has not been tried yet is no
    /// reason.
    pub(crate) fn wants_a_look(&self) -> bool {
        let state = self.read();
        state.trouble.is_some()
            || state.slots.iter().any(Option::is_none)
            || (state.links.values()).any(|link| !is_up(link) && !link.shared.breaker.is_starting())
    }

    /// Whom to ask for the slots: nodes that are up, and others, in no order.
    pub(crate) fn candidates(&self) -> Vec<(Node, Target)> {
        let state = self.read();
        let all = self
            .seeds
            .iter()
            .chain(&state.named)
            .chain(state.links.keys());
        let all: BTreeSet<&Node> = all.collect();
        let mut all: Vec<_> = all
            .into_iter()
            .map(|node| {
                let is_up = state.links.get(node).is_some_and(|link| is_up(link));
                (!is_up, crate::random::below(u64::MAX), node)
            })
            .collect();
        all.sort_unstable();
        all.truncate(ASKED);
        all.into_iter()
            .map(|(.., node)| (node.clone(), self.settings.target(node)))
            .collect()
    }

    /// Has every connection closed when what is queued was sent to its node.
    pub(crate) fn close(&self) {
        let state = self.write();
        self.phase.send_replace(Phase::Closed);
        // The router ends with the last link, and at once where there is none.
        let _ = self.news.send(News::Status);
        state.links.values().for_each(|link| link.close());
    }

    /// Resolves once every connection was closed.
    pub(crate) async fn closed(&self) {
        for link in self.all() {
            link.closed().await;
        }
    }

    /// Closed, and every link has done what it had to do.
    pub(crate) fn is_over(&self) -> bool {
        let done = |link: &Arc<Link>| link.shared.breaker.is_closed();
        self.is_closed() && self.read().links.values().all(done)
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.phase.borrow() == Phase::Closed
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn is_up(link: &Link) -> bool {
    link.shared.breaker.is_up()
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.read().links.keys().map(ToString::to_string).collect();
        f.debug_tuple("Nodes").field(&nodes).finish()
    }
}
