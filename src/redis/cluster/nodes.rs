//! The links to the masters, and which of them has which slot.
//!
//! Floor 3.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redis::Cmd;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::news::{News, Teller};
use super::node::Node;
use super::slot::{self, SLOTS};
use super::slots_reply::Slots;
use crate::redis::away::AwayCause;
use crate::redis::clock::Clock;
use crate::redis::dial::Target;
use crate::redis::error::RedisError;
use crate::redis::failure::Failure;
use crate::redis::link::Link;
use crate::redis::mailbox::Mailbox;
use crate::redis::queue::{Item, Queued};
use crate::redis::shared::{Settings, Shared};
use crate::redis::status::{Breaker, RedisStatus, away, closed};

/// The candidates for one look at the slots.
const ASKED: usize = 2;

/// The nodes of one cluster, as one handle knows them.
pub(crate) struct Nodes {
    seeds: BTreeSet<Node>,
    /// As for the first seed; every node has its own address in it.
    settings: Settings,
    runtime: Handle,
    news: mpsc::UnboundedSender<News>,
    /// Grows with every connection of any link, and when slots moved.
    pub(crate) epochs: watch::Sender<u64>,
    /// One channel for all: whoever stands in line can be reached through every node.
    pub(crate) mailbox: Mailbox,
    /// For when no link is there.
    clock: Clock,
    phase: watch::Sender<Phase>,
    state: RwLock<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has been asked yet, or not answered.
    Starting,
    Known,
    Closed,
}

struct State {
    links: BTreeMap<Node, Arc<Link>>,
    slots: Box<[Option<Arc<Link>>]>,
    /// Who was named when the slots were last looked up, replicas included.
    named: BTreeSet<Node>,
    /// Why the slots are not known, or are not served whoever has them.
    trouble: Option<Failure>,
    /// A redirect changed the map since it was last looked up.
    patched: bool,
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
                patched: false,
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

    fn all(&self) -> Vec<Arc<Link>> {
        self.read().links.values().cloned().collect()
    }

    /// Asks every node for a sign of life, all at once.
    pub(crate) async fn ping(&self) -> Result<(), RedisError> {
        self.started().await?;
        if self.is_closed() {
            return Err(closed());
        }
        let mut answers = Vec::new();
        for link in self.all() {
            let (ping, answer) = Queued::new(redis::cmd("PING"), None);
            link.enqueue(Item::Command(ping))?;
            answers.push(answer);
        }
        for answer in answers {
            answer.reply().await?;
        }
        if self.status().is_up() {
            Ok(())
        } else {
            Err(away())
        }
    }

    /// The time at the first node that is up: the same one for a whole fleet, most of the time.
    pub(crate) fn now_ms(&self) -> u64 {
        match self.any() {
            Some(link) => link.shared.clock.now_ms(),
            None => self.clock.now_ms(),
        }
    }

    /// Up where every slot is served; else the first that is not, with its node.
    pub(crate) fn status(&self) -> RedisStatus {
        if self.is_closed() {
            return RedisStatus::away(&Failure::unreachable("closed by this process"));
        }
        let state = self.read();
        if let Some(trouble) = &state.trouble {
            return RedisStatus::away(trouble);
        }
        let free = state.slots.iter().filter(|owner| owner.is_none()).count();
        if free > 0 {
            let reason = format!("{free} of the cluster's slots are served by nobody");
            return RedisStatus::away(&Failure::new(AwayCause::NotReady, reason));
        }
        for (node, link) in &state.links {
            if let RedisStatus::Away { cause, reason } = link.shared.breaker.status() {
                return RedisStatus::away(&Failure::new(cause, format!("{node}: {reason}")));
            }
        }
        RedisStatus::Up
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

    /// What was learned of the slots. Links that have none any more are closed when what they
    /// have to do is done.
    pub(crate) fn adopt(&self, found: Result<Slots, Failure>) {
        let mut retired = BTreeMap::new();
        let mut news = false;
        {
            let mut state = self.write();
            match found {
                // The links say better than a look that found nobody.
                Err(Failure {
                    cause: AwayCause::Unreachable,
                    ..
                }) if !state.links.is_empty() => {}
                Err(failure) => self.note(&mut state, Some(failure)),
                Ok(Slots { owners, nodes }) => {
                    self.note(&mut state, None);
                    let mut slots: Box<[_]> = vec![None; usize::from(SLOTS)].into();
                    let mut links = BTreeMap::new();
                    for (range, node) in owners {
                        let Some(link) = self.open(&mut state, &node) else {
                            continue;
                        };
                        for slot in range {
                            slots[usize::from(slot)] = Some(Arc::clone(&link));
                        }
                        links.insert(node, link);
                    }
                    news = std::mem::take(&mut state.patched)
                        || slots.iter().zip(&state.slots).any(|(now, before)| {
                            now.as_ref().map(Arc::as_ptr) != before.as_ref().map(Arc::as_ptr)
                        });
                    state.slots = slots;
                    state.named = nodes;
                    retired = std::mem::replace(&mut state.links, links);
                }
            }
            self.phase.send_if_modified(|phase| {
                let first = *phase == Phase::Starting;
                *phase = if first { Phase::Known } else { *phase };
                first
            });
        }
        // Not under the lock: the last of a link wakes its supervisor.
        drop(retired);
        if news {
            self.epochs.send_modify(|epoch| *epoch += 1);
        }
    }

    /// A node said that the slot is another one's. The link to that one.
    pub(crate) fn moved(&self, slot: u16, node: &Node) -> Option<Arc<Link>> {
        let mut state = self.write();
        let link = self.open(&mut state, node)?;
        state.slots[usize::from(slot)] = Some(Arc::clone(&link));
        state.patched = true;
        Some(link)
    }

    /// The link to a node that a slot is on its way to.
    pub(crate) fn importing(&self, node: &Node) -> Option<Arc<Link>> {
        self.open(&mut self.write(), node)
    }

    /// A node said that the cluster does not serve.
    pub(crate) fn down(&self, reason: String) {
        let failure = Failure::new(AwayCause::NotReady, reason);
        self.note(&mut self.write(), Some(failure));
    }

    /// Sends what is queued to any node, and closes every connection.
    pub(crate) async fn close(&self) {
        let links = {
            let state = self.write();
            self.phase.send_replace(Phase::Closed);
            state.links.values().cloned().collect::<Vec<_>>()
        };
        let mut closing = JoinSet::new();
        for link in links {
            closing.spawn(async move { link.close().await });
        }
        while closing.join_next().await.is_some() {}
        // The router ends too.
        let _ = self.news.send(News::Status);
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.phase.borrow() == Phase::Closed
    }

    /// The link to the node, also one that is new; none once all is closed.
    fn open(&self, state: &mut State, node: &Node) -> Option<Arc<Link>> {
        if self.is_closed() {
            return None;
        }
        if let Some(link) = state.links.get(node) {
            return Some(Arc::clone(link));
        }
        let settings = self.settings.at(node);
        let shared = Shared {
            breaker: Breaker::new(),
            clock: Clock::new(settings.command_timeout),
            mailbox: Arc::new(self.mailbox.beside()),
            epochs: self.epochs.clone(),
            full: Notify::new(),
            teller: Some(Teller {
                node: node.clone(),
                news: self.news.clone(),
            }),
        };
        let link = Arc::new(Link::open(settings, shared, &self.runtime));
        state.links.insert(node.clone(), Arc::clone(&link));
        Some(link)
    }

    /// Said once a change.
    fn note(&self, state: &mut State, trouble: Option<Failure>) {
        let cause = |trouble: &Option<Failure>| trouble.as_ref().map(|failure| failure.cause);
        let starting = *self.phase.borrow() == Phase::Starting;
        if let Some(Failure { cause: why, reason }) = &trouble
            && (starting || cause(&state.trouble) != Some(*why))
        {
            tracing::warn!(cause = ?why, reason, "the Redis Cluster is away");
        }
        state.trouble = trouble;
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_up(link: &Link) -> bool {
    link.shared.breaker.is_up()
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.read().links.keys().map(ToString::to_string).collect();
        f.debug_tuple("Nodes").field(&nodes).finish()
    }
}
