//! One request's session behind the handle: which session it is, loaded at most once.
//! Floor 5.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tracing::debug;

use crate::session::candidates::Candidates;
use crate::session::counted::not_loaded;
use crate::session::error::{SessionError, SessionErrorKind, StoreError, StoreErrorKind};
use crate::session::expiry::{renewal_is_due, renewal_window_ms};
use crate::session::options::Options;
use crate::session::policy::Undecodable;
use crate::session::record::{SessionRecord, Verdict};
use crate::session::state::{Announce, Known, RawCookies, Rotation, State, Stored};
use crate::session::store::DynStore;
use crate::session::token::Token;
use crate::telemetry::names::{SessionLoads, Sessions};
use crate::telemetry::record::count;

/// Shared by all clones of a request's handle and by the layer.
pub(crate) struct Core {
    pub(crate) options: Arc<Options>,
    state: Mutex<State>,
    /// Held while one clone loads or writes, so that all others find the result: one load a
    /// request, one session created. Reads of what is loaded and `set` do not take it. A holder
    /// that is dropped gives its turn up, and the next one starts over.
    turn: tokio::sync::Mutex<()>,
}

/// How long an operation waits for another one that is under way on a clone of the handle.
const TURN: Duration = Duration::from_secs(10);

impl Core {
    pub(crate) fn new(options: Arc<Options>, cookies: RawCookies) -> Self {
        Self {
            options,
            state: Mutex::new(State::new(cookies)),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The same session in a state of its own, for use after the response has begun.
    pub(crate) fn detached(&self, token: Token, record: Option<SessionRecord>) -> Self {
        let detached = Self::new(Arc::clone(&self.options), RawCookies::default());
        let mut state = detached.state();
        state.known = Known::Live(token, record);
        state.detached = true;
        drop(state);
        detached
    }

    /// Never held across an await. Nothing that runs under it panics half-way through a change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The turn to load or write. Should its holder not be polled any more, though it is not dropped
    /// either, nobody waits for ever.
    pub(crate) async fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, SessionError> {
        if let Ok(turn) = self.turn.try_lock() {
            return Ok(turn);
        }
        let turn = tokio::time::timeout(TURN, self.turn.lock()).await;
        turn.map_err(|late| SessionError::with_source(SessionErrorKind::Unavailable, late))
    }

    /// Finds out which session this is, and reads it, unless that is known; `None` where the
    /// request has none. What is returned stands, whatever a clone does meanwhile.
    ///
    /// No round trip where the request presents nothing that could be a token.
    pub(crate) async fn load(&self) -> Result<Option<Stored>, SessionError> {
        if let ToLoad::Nothing(stored) = self.to_load() {
            return Ok(stored);
        }
        let _turn = self.turn().await?;
        self.load_in_turn().await
    }

    /// As [`load`](Self::load), for whoever holds the turn.
    pub(crate) async fn load_in_turn(&self) -> Result<Option<Stored>, SessionError> {
        let store = &*self.options.store;
        let mut found = Found {
            undecodable: self.options.undecodable,
            ..Found::default()
        };
        match self.to_load() {
            ToLoad::Nothing(stored) => return Ok(stored),
            ToLoad::One(token) => {
                let record = store.load(token.id()).await;
                found.add(&token, record, store.now_ms());
            }
            ToLoad::Several => {
                let candidates = self.candidates();
                let tokens: Vec<_> = candidates.tokens().collect();
                let records = load_all(store, &tokens).await;
                for (token, record) in tokens.iter().zip(records) {
                    found.add(token, record, store.now_ms());
                }
                if candidates.newer {
                    let newer = StoreError::new(StoreErrorKind::NewerFormat);
                    found.failure.get_or_insert(newer);
                }
            }
        }
        if let Some((token, record)) = found.live {
            count(SessionLoads::Found);
            let now_ms = store.now_ms();
            self.renew_if_due(&token, &record, now_ms);
            let mut state = self.state();
            let done = |sent: &mut Rotation| sent.after.hash() == token.hash();
            if let Some(sent) = state.unanswered.take_if(done) {
                // Rotated once more, it would be under a token that no answer may ever announce.
                state.rotated(&sent);
                let lifetime_ms = record.deadline_ms().saturating_sub(now_ms);
                state.announce = Announce::Token(token, lifetime_ms, record.persistent());
            }
            state.known = Known::Live(token, Some(record.clone()));
            return Ok(Some((token, record)));
        }
        // What we could not read may be the session: not knowing is not "no session".
        if let Some(error) = found.failure {
            not_loaded(&error);
            return Err(error.into());
        }
        count(SessionLoads::Absent);
        let mut state = self.state();
        let was_live = match state.unanswered.take() {
            Some(rotation) => rotation.was_live,
            None => matches!(state.known, Known::Live(..)),
        };
        state.known = match found.late || was_live {
            true => Known::Gone,
            false => Known::Nobody,
        };
        Ok(None)
    }

    fn to_load(&self) -> ToLoad {
        match self.state().known(&self.options.transport) {
            Known::Claimed(token) | Known::Live(token, None) => ToLoad::One(*token),
            Known::Several(_) | Known::Rotating => ToLoad::Several,
            Known::Live(token, Some(record)) => ToLoad::Nothing(Some((*token, record.clone()))),
            Known::Unread(_) | Known::Nobody | Known::Gone => ToLoad::Nothing(None),
        }
    }

    fn candidates(&self) -> Candidates {
        let state = self.state();
        match (&state.known, &state.unanswered) {
            (Known::Several(candidates), _) => candidates.clone(),
            (Known::Rotating, Some(sent)) => Candidates {
                first: Some(sent.after),
                others: vec![sent.before],
                newer: false,
            },
            _ => Candidates::default(),
        }
    }

    /// Nobody waits for a renewal, and one that fails is repeated by the next request. Of many
    /// requests at a time, one sends it.
    fn renew_if_due(&self, token: &Token, record: &SessionRecord, now_ms: u64) {
        if !renewal_is_due(record.seen_ms(), record.idle_ms(), now_ms) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let window_ms = renewal_window_ms(record.idle_ms());
        let Some(claim) = self.options.renewals.claim(token.id(), now_ms, window_ms) else {
            return;
        };
        let (store, token) = (Arc::clone(&self.options.store), *token);
        runtime.spawn(async move {
            match store.renew(token.id(), &token.hash()).await {
                Ok(true) => {
                    count(Sessions::Renewed);
                    claim.keep();
                }
                Ok(false) => {}
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    debug!(session = %token.id(), error, "session not renewed");
                }
            }
        });
    }
}

/// What the store is to be asked for.
enum ToLoad {
    /// What is known already.
    Nothing(Option<Stored>),
    One(Token),
    Several,
}

/// What the store knew of the tokens.
#[derive(Default)]
struct Found {
    /// The first session that its token opens.
    live: Option<Stored>,
    /// One token was valid until less than a minute ago.
    late: bool,
    failure: Option<StoreError>,
    undecodable: Undecodable,
}

impl Found {
    fn add(
        &mut self,
        token: &Token,
        record: Result<Option<SessionRecord>, StoreError>,
        now_ms: u64,
    ) {
        let record = match record {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) if self.undecodable.passes_over(&error, token.id()) => return,
            Err(error) => {
                self.failure.get_or_insert(error);
                return;
            }
        };
        match record.verify(&token.hash(), now_ms) {
            Verdict::Current => {
                self.live.get_or_insert((*token, record));
            }
            Verdict::Superseded => self.late = true,
            Verdict::Stranger => {}
        }
    }
}

/// Loads all at once, so that they leave in one pipeline.
async fn load_all(
    store: &dyn DynStore,
    tokens: &[Token],
) -> Vec<Result<Option<SessionRecord>, StoreError>> {
    let mut loads: Vec<_> = tokens.iter().map(|token| store.load(token.id())).collect();
    let mut results: Vec<_> = tokens.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (load, result) in loads.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(record) = load.as_mut().poll(cx)
            {
                *result = Some(record);
            }
        }
        match results.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
