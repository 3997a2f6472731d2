//! One request's session behind the handle: which session it is, loaded at most once.
//! Floor 5.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tracing::debug;

use crate::session::cookie::Candidates;
use crate::session::error::{SessionError, StoreError, StoreErrorKind};
use crate::session::expiry::renewal_window_ms;
use crate::session::options::Options;
use crate::session::record::{SessionRecord, Verdict};
use crate::session::state::{Known, RawCookies, State};
use crate::session::store::DynStore;
use crate::session::token::Token;

/// Shared by all clones of a request's handle and by the layer.
pub(crate) struct Core {
    pub(crate) options: Arc<Options>,
    state: Mutex<State>,
    /// Held while one clone loads or writes, so that all others find the result: one load a
    /// request, one session created. Reads of what is loaded and `set` do not take it. A holder
    /// that is dropped gives its turn up, and the next one starts over.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Core {
    pub(crate) fn new(options: Arc<Options>, cookies: RawCookies) -> Self {
        Self {
            options,
            state: Mutex::new(State::new(cookies)),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Never held across an await. Nothing that runs under it panics half-way through a change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds out which session this is, and reads it, unless that is known.
    ///
    /// No round trip where the request presents nothing that could be a token.
    pub(crate) async fn load(&self) -> Result<(), SessionError> {
        if self.to_load().is_none() {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        self.load_in_turn().await
    }

    /// As [`load`](Self::load), for whoever holds the turn.
    pub(crate) async fn load_in_turn(&self) -> Result<(), SessionError> {
        let Some((candidates, was_live)) = self.to_load() else {
            return Ok(());
        };
        let store = &*self.options.store;
        let records = load_all(store, &candidates.tokens).await;
        let now_ms = store.now_ms();
        let (mut failure, mut late) = (None, false);
        for (token, record) in candidates.tokens.iter().zip(records) {
            let record = match record {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            match record.verify(&token.hash(), now_ms) {
                Verdict::Current => {
                    self.renew_if_due(token, &record, now_ms);
                    self.state().known = Known::Live(*token, Some(record));
                    return Ok(());
                }
                Verdict::Superseded => late = true,
                Verdict::Stranger => {}
            }
        }
        // A session that we could not read may be the one: not knowing is not "no session".
        if candidates.newer && failure.is_none() {
            failure = Some(StoreError::new(StoreErrorKind::NewerFormat));
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        self.state().known = if late || was_live {
            Known::Gone
        } else {
            Known::Nobody
        };
        Ok(())
    }

    /// The tokens to look up, and whether the session is known to have been there.
    fn to_load(&self) -> Option<(Candidates, bool)> {
        let one = |token: &Token| Candidates {
            tokens: vec![*token],
            newer: false,
        };
        match self.state().known(&self.options.cookie) {
            Known::Claimed(token) => Some((one(token), false)),
            Known::Live(token, None) => Some((one(token), true)),
            Known::Several(candidates) => Some((candidates.clone(), false)),
            Known::Unread(_) | Known::Nobody | Known::Live(..) | Known::Gone => None,
        }
    }

    /// Nobody waits for a renewal, and one that fails is repeated by the next request.
    fn renew_if_due(&self, token: &Token, record: &SessionRecord, now_ms: u64) {
        let unused_ms = now_ms.saturating_sub(record.seen_ms());
        if unused_ms < renewal_window_ms(record.idle_ms()) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (store, token) = (Arc::clone(&self.options.store), *token);
        runtime.spawn(async move {
            if let Err(error) = store.renew(token.id(), &token.hash()).await {
                debug!(session = %token.id(), %error, "session not renewed");
            }
        });
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
            if result.is_none() {
                if let Poll::Ready(record) = load.as_mut().poll(cx) {
                    *result = Some(record);
                }
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
