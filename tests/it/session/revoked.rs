//! Whatever a request does meanwhile, a session that was revoked never comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::Semaphore;
use tower_handoff::session::{
    CommitOutcome, NewSession, Revoke, Save, SaveOutcome, Session, SessionErrorKind, SessionExpiry,
    SessionId, SessionLayer, SessionRecord, SessionStore, StoreError, UserSession, Users,
    VerifierHash,
};

use super::support::{Answer, Store, on_both, read, request};
use super::users::{id_of, listed, log_in};

const OK: StatusCode = StatusCode::OK;

/// A session of ada's that a request looks at before all of hers are ended, and uses afterwards.
async fn overtaken(store: &Store, last: impl AsyncFnOnce(&Session)) -> Answer {
    let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store.clone()));
    let cookie = log_in(&layer, "", "ada").await.token();
    let mut id = None;
    let answer = request(&layer, &cookie, async |session: Session| {
        id = session.id().await.unwrap();
        assert_eq!(session.user().await.unwrap().as_deref(), Some("ada"));
        assert_eq!(users.revoke_all("ada").await.unwrap(), 1);
        last(&session).await;
        OK
    })
    .await;
    assert_eq!(answer.status, OK, "the handler's response stands");
    assert_eq!(answer.set_cookie(), None);
    assert!(store.load(&id.unwrap()).await.unwrap().is_none());
    assert_eq!(read(&layer, &cookie, "late").await, None);
    for user in ["ada", "eve"] {
        assert!(listed(&users, user).await.is_empty(), "{user}");
    }
    answer
}

#[tokio::test]
async fn what_a_late_commit_brings_is_not_written() {
    on_both(async |store: Store| {
        let write = overtaken(&store, async |session| {
            session.set("late", "1").unwrap();
        });
        assert_eq!(write.await.outcome, Some(CommitOutcome::Gone), "write");
        let rotate = overtaken(&store, async |session| session.rotate().unwrap());
        assert_eq!(rotate.await.outcome, Some(CommitOutcome::Gone), "rotate");
        for user in ["ada", "eve"] {
            let login = overtaken(&store, async |session| {
                session.bind(user).unwrap();
                session.set("late", "1").unwrap();
            });
            assert_eq!(login.await.outcome, Some(CommitOutcome::Gone), "login");
        }
        let unbind = overtaken(&store, async |session| session.unbind().unwrap());
        assert_eq!(unbind.await.outcome, Some(CommitOutcome::Gone), "unbind");
        let expiry = overtaken(&store, async |session| {
            session.set_expiry(SessionExpiry::default()).unwrap();
        });
        assert_eq!(expiry.await.outcome, Some(CommitOutcome::Gone), "expiry");
    })
    .await;
}

#[tokio::test]
async fn what_acts_at_once_says_that_the_session_is_gone() {
    on_both(async |store: Store| {
        overtaken(&store, async |session| {
            let error = session.increment("late", 1).await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Gone);
            let update = session.update("late", |n: Option<u8>| n.or(Some(1)));
            assert_eq!(update.await.unwrap_err().kind(), SessionErrorKind::Gone);
        })
        .await;
        overtaken(&store, async |session| {
            assert!(!session.destroy().await.unwrap());
            session.set("late", "1").unwrap();
            session.bind("ada").unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_never_looked_starts_afresh() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let stale = log_in(&layer, "", "ada").await.token();
        users.revoke_all("ada").await.unwrap();
        let fresh = log_in(&layer, &stale, "ada").await.token();
        assert_ne!(fresh[..30], stale[..30], "another public id");
        assert_eq!(id_of(&layer, &stale).await, None);
        assert_eq!(listed(&users, "ada").await.len(), 1);
    })
    .await;
}

/// A store whose renewals wait for leave.
#[derive(Clone)]
struct LateRenewals {
    inner: Store,
    leave: Arc<Semaphore>,
    done: Arc<AtomicUsize>,
}

impl SessionStore for LateRenewals {
    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.inner.load(id).await
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.inner.create(id, new).await
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        self.inner.save(id, save).await
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        let _leave = self.leave.acquire().await;
        let renewed = self.inner.renew(id, verifier).await;
        assert!(!*renewed.as_ref().unwrap(), "a revoked session is renewed");
        self.done.fetch_add(1, Ordering::SeqCst);
        renewed
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.inner.destroy(id, verifier).await
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        self.inner.sessions_of(user).await
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        self.inner.revoke(user, which).await
    }
}

#[tokio::test]
async fn a_late_renewal_brings_nothing_back() {
    on_both(async |store: Store| {
        let store = LateRenewals {
            inner: store,
            leave: Arc::new(Semaphore::new(0)),
            done: Arc::default(),
        };
        let minute = Duration::from_secs(60);
        let expiry = SessionExpiry::new(minute / 60, minute).unwrap();
        let layer = SessionLayer::new(store.clone()).with_expiry(expiry);
        let users = Users::new(store.clone());
        let cookie = log_in(&layer, "", "ada").await.token();
        // The window is a tenth of a second.
        let due = store.now_ms() + 150;
        while store.now_ms() < due {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let id = id_of(&layer, &cookie).await.unwrap();
        assert_eq!(users.revoke_all("ada").await.unwrap(), 1);
        store.leave.add_permits(1);
        for _ in 0..3000 {
            if store.done.load(Ordering::SeqCst) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(store.done.load(Ordering::SeqCst), 1, "no renewal");
        assert!(store.load(&id).await.unwrap().is_none());
        assert!(listed(&users, "ada").await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_survives_a_storm_of_revocations_is_in_the_list() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let (layer, users) = (layer.clone(), users.clone());
            tasks.spawn(async move {
                let mut cookie = String::new();
                for round in 0..30 {
                    let answer = request(&layer, &cookie, async |session: Session| {
                        if round % 3 == 0 {
                            session.exists().await.unwrap();
                        }
                        session.bind("ada").unwrap();
                        session.set("round", &round.to_string()).unwrap();
                        OK
                    })
                    .await;
                    if let Some(next) = answer.set_cookie() {
                        cookie = next;
                    } else {
                        assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
                    }
                    if (task + round) % 7 == 0 {
                        users.revoke_all("ada").await.unwrap();
                    }
                }
                cookie
            });
        }
        let cookies = tasks.join_all().await;
        let listed = listed(&users, "ada").await;
        for cookie in &cookies {
            if let Some(id) = id_of(&layer, cookie).await {
                assert!(listed.contains(&id), "a live session is in no list");
            }
        }
        assert_eq!(users.revoke_all("ada").await.unwrap(), listed.len() as u64);
        for cookie in &cookies {
            assert_eq!(id_of(&layer, cookie).await, None, "a revoked session lives");
        }
    })
    .await;
}
