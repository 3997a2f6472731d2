//! What changes the map of the slots and the links: looks, redirects, nodes that do not serve.
//!
//! Floor 3.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::news::Teller;
use super::node::Node;
use super::nodes::{Nodes, Phase, State, is_up};
use super::slot::SLOTS;
use super::slots_reply::Slots;
use crate::redis::away::AwayCause;
use crate::redis::failure::Failure;
use crate::redis::link::Link;
use crate::redis::origin::Origin;
use crate::redis::refusals::Refusals;
use crate::redis::shared::Shared;
use crate::redis::status::Breaker;

impl Nodes {
    /// What was learned of the slots by a look that began at `begun`. Links that have none any more are
    /// closed when what they have to do is done.
    ///
    /// What was heard of since is newer, and a link that is still being made holds commands that would
    /// be lost with it: these stay. Returns whether anything did, for the next look to judge.
    pub(crate) fn adopt(&self, found: Result<Slots, Failure>, begun: Instant) -> bool {
        let mut retired = BTreeMap::new();
        let (mut news, mut spared) = (false, false);
        {
            let mut state = self.write();
            let state = &mut *state;
            match found {
                // The links say better than a look that found nobody.
                Err(Failure {
                    cause: AwayCause::Unreachable,
                    ..
                }) if !state.links.is_empty() => {}
                Err(failure) => self.note(state, Some(failure)),
                Ok(Slots { owners, nodes }) => {
                    self.note(state, None);
                    let mut slots: Box<[_]> = vec![None; usize::from(SLOTS)].into();
                    let mut links = BTreeMap::new();
                    for (range, node) in owners {
                        let Some(link) = self.open(state, &node) else {
                            continue;
                        };
                        for slot in range {
                            slots[usize::from(slot)] = Some(Arc::clone(&link));
                        }
                        links.insert(node, link);
                    }
                    news = !state.patched.is_empty();
                    state.patched.retain(|_, at| *at >= begun);
                    let patched = || state.patched.keys().map(|slot| usize::from(*slot));
                    patched().for_each(|slot| slots[slot].clone_from(&state.slots[slot]));
                    for (node, link) in &state.links {
                        let is_new = link.opened >= begun || link.shared.breaker.is_starting();
                        let has = |link: &Arc<Link>, slot: usize| {
                            (slots[slot].as_ref()).is_some_and(|owner| Arc::ptr_eq(owner, link))
                        };
                        if !links.contains_key(node)
                            && (is_new || patched().any(|slot| has(link, slot)))
                        {
                            links.insert(node.clone(), Arc::clone(link));
                            spared = true;
                        }
                    }
                    spared |= !state.patched.is_empty();
                    news |= slots.iter().zip(&state.slots).any(|(now, before)| {
                        now.as_ref().map(Arc::as_ptr) != before.as_ref().map(Arc::as_ptr)
                    });
                    if slots.iter().all(Option::is_some) {
                        state.said = None;
                    }
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
        spared
    }

    /// A node said that the slot is another one's. The link to that one.
    pub(crate) fn moved(&self, slot: u16, node: &Node) -> Option<Arc<Link>> {
        let mut state = self.write();
        let link = self.open(&mut state, node)?;
        state.slots[usize::from(slot)] = Some(Arc::clone(&link));
        state.patched.insert(slot, Instant::now());
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

    /// The link to the node, also one that is new; none once all is closed.
    fn open(&self, state: &mut State, node: &Node) -> Option<Arc<Link>> {
        if self.is_closed() {
            return None;
        }
        if let Some(link) = state.links.get(node) {
            return Some(Arc::clone(link));
        }
        let settings = self.settings.at(node);
        // Nearer to the new one's than this machine's clock.
        let known = state.links.values().find(|link| is_up(link));
        let shared = Shared {
            breaker: Breaker::of_node(),
            refusals: Refusals::new(settings.address()),
            clock: known.map_or(&self.clock, |link| &link.shared.clock).copy(),
            mailbox: Arc::new(self.mailbox.beside()),
            origin: Arc::new(Origin::at(node)),
            clustered: true,
            epochs: self.epochs.clone(),
            full: Notify::new(),
            closing: Notify::new(),
            teller: Some(Teller {
                node: node.clone(),
                news: self.news.clone(),
            }),
        };
        let link = Arc::new(Link::open(settings, shared, &self.runtime));
        state.links.insert(node.clone(), Arc::clone(&link));
        Some(link)
    }

    /// Said once a change: a slot that stays nobody's is no news with every look.
    fn note(&self, state: &mut State, trouble: Option<Failure>) {
        if let Some(Failure { cause, reason }) = &trouble
            && state.said != Some(*cause)
        {
            state.said = Some(*cause);
            tracing::warn!(?cause, reason, "the Redis Cluster is away");
        }
        state.trouble = trouble;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use tokio::runtime::Handle;
    use tokio::sync::mpsc;

    use super::*;
    use crate::redis::dial::Target;
    use crate::redis::keyspace::Keyspace;
    use crate::redis::lookup::Lookups;
    use crate::redis::mailbox::Mailbox;
    use crate::redis::shared::Settings;
    use crate::redis::url;
    use crate::redis::whereabouts::Whereabouts;

    fn nobody(port: u16) -> Node {
        Node {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    fn nodes() -> Nodes {
        let place = url::parse("redis://127.0.0.1:1").expect("a good url");
        let settings = Settings {
            whereabouts: Whereabouts::Fixed(Target {
                info: place.info,
                lookups: Lookups::default(),
                #[cfg(feature = "tls-rustls")]
                tls: None,
            }),
            command_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            queue_bound: 8,
            instance: None,
        };
        let mailbox = Mailbox::new(&Keyspace::new("app"), None);
        let (news, _) = mpsc::unbounded_channel();
        Nodes::new(BTreeSet::new(), settings, mailbox, Handle::current(), news)
    }

    fn all_at(node: Node) -> Slots {
        Slots {
            owners: vec![(0..=SLOTS - 1, node.clone())],
            nodes: [node].into(),
        }
    }

    #[tokio::test]
    async fn a_look_that_began_earlier_does_not_undo_a_redirect() {
        let nodes = nodes();
        let begun = Instant::now();
        nodes.adopt(Ok(all_at(nobody(1))), begun);
        let link = nodes.moved(7, &nobody(2)).expect("opened");
        let there = |slot| nodes.of_slot(slot).expect("somebody has it");

        assert!(nodes.adopt(Ok(all_at(nobody(1))), begun), "it stays");
        assert!(Arc::ptr_eq(&there(7), &link));
        assert!(!Arc::ptr_eq(&there(8), &link));

        // Not tried yet, so it stays for what it holds; but its slot is another's.
        let later = Instant::now() + Duration::from_secs(1);
        assert!(nodes.adopt(Ok(all_at(nobody(1))), later), "it is starting");
        assert!(!Arc::ptr_eq(&there(7), &link));
        link.shared.breaker.up();
        assert!(!nodes.adopt(Ok(all_at(nobody(1))), later));
        assert_eq!(Arc::strong_count(&link), 1, "it is let go of");
    }
}
