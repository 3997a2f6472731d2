//! Requests on one session at the same time lose nothing of each other.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use http::StatusCode;
use tower_handoff::session::{
    MemorySessions, NewSession, Revoke, Save, SaveOutcome, Session, SessionErrorKind, SessionId,
    SessionLayer, SessionRecord, SessionStore, StoreError, UserSession, VerifierHash,
};

use super::support::{Store, on_both, read, request, visit};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

const TASKS: u32 = 16;
const ROUNDS: u32 = 20;

/// Many tasks, each with its own requests under one cookie.
async fn storm<F: Future<Output = ()> + Send>(
    layer: &SessionLayer,
    cookie: &str,
    handler: impl Fn(Session, u32, u32) -> F + Clone + Send + Sync + 'static,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (layer, cookie, handler) = (layer.clone(), cookie.to_owned(), handler.clone());
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let answer = request(&layer, &cookie, |session| {
                    let done = handler(session, task, round);
                    async move {
                        done.await;
                        StatusCode::OK
                    }
                })
                .await;
                assert_eq!(answer.status, StatusCode::OK);
                assert_eq!(answer.set_cookie(), None);
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn increments_add_up_exactly() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        storm(&layer, &cookie, |session, task, _| async move {
            if task % 2 == 0 {
                session.exists().await.unwrap();
            }
            session.increment("n", 1).await.unwrap();
        })
        .await;
        request(&layer, &cookie, async |session| {
            let sum = session.get::<u32>("n").await.unwrap();
            assert_eq!(sum, Some(TASKS * ROUNDS));
            StatusCode::OK
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_of_one_field_all_take_part() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        storm(&layer, &cookie, |session, task, round| async move {
            let push = |list: Option<Vec<(u32, u32)>>| {
                let mut list = list.unwrap_or_default();
                list.push((task, round));
                Some(list)
            };
            session.update("list", push).await.unwrap();
        })
        .await;
        request(&layer, &cookie, async |session| {
            let list = session.get::<Vec<(u32, u32)>>("list").await.unwrap();
            let mut list = list.unwrap();
            list.sort_unstable();
            list.dedup();
            assert_eq!(list.len() as u32, TASKS * ROUNDS);
            StatusCode::OK
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_fields_all_survive() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        storm(&layer, &cookie, |session, task, round| async move {
            if task % 2 == 0 {
                session.exists().await.unwrap();
            }
            session
                .set(&format!("f{task}"), &format!("{round}"))
                .unwrap();
        })
        .await;
        for task in 0..TASKS {
            let last = read(&layer, &cookie, &format!("f{task}")).await;
            assert_eq!(last, Some((ROUNDS - 1).to_string()), "field {task}");
        }
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
    })
    .await;
}

#[tokio::test]
async fn clones_load_once_and_create_once() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        store.asked();
        request(&layer, &cookie, async |session| {
            let reads = (0..20).map(|_| session.get::<String>("user"));
            for user in futures_util::future::join_all(reads).await {
                assert_eq!(user.unwrap().as_deref(), Some("ada"));
            }
            StatusCode::OK
        })
        .await;
        assert_eq!(store.asked(), 1);
        let answer = request(&layer, "", async |session| {
            let adds = (0..20).map(|_| session.increment("n", 1));
            futures_util::future::join_all(adds).await;
            StatusCode::OK
        })
        .await;
        assert_eq!(store.asked(), 20, "one creation, nineteen additions");
        request(&layer, &answer.token(), async |session| {
            assert_eq!(session.get::<u8>("n").await.unwrap(), Some(20));
            StatusCode::OK
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_is_cancelled_leaves_the_load_to_the_next_one() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        request(&layer, &cookie, async |session| {
            let mut first = Box::pin(session.get::<String>("user"));
            let _ = (&mut first).now_or_never();
            let second = session.get::<String>("user");
            drop(first);
            assert_eq!(second.await.unwrap().as_deref(), Some("ada"));
            StatusCode::OK
        })
        .await;
    })
    .await;
}

/// A store in which somebody else is always faster, and which hangs when told to.
struct Outrun {
    inner: MemorySessions,
    hangs: Arc<AtomicBool>,
}

impl SessionStore for Outrun {
    fn now_ms(&self) -> u64 {
        self.inner.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.load(id).await
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.inner.create(id, new).await
    }

    async fn save(&self, id: &SessionId, _: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        let record = self.inner.load(id).await?;
        Ok(SaveOutcome::Conflict(record.unwrap()))
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.inner.renew(id, verifier).await
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

fn outrun() -> (SessionLayer, Arc<AtomicBool>) {
    let hangs = Arc::<AtomicBool>::default();
    let store = Outrun {
        inner: MemorySessions::new(),
        hangs: Arc::clone(&hangs),
    };
    (SessionLayer::new(store), hangs)
}

#[tokio::test(start_paused = true)]
async fn an_update_that_never_wins_says_so() {
    let (layer, _) = outrun();
    let cookie = visit(&layer, "", "user", "ada").await;
    request(&layer, &cookie, async |session| {
        let mut tries = 0;
        let update = session.update("user", |user: Option<String>| {
            tries += 1;
            user
        });
        let error = update.await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Contended);
        assert_eq!(tries, 64);
        StatusCode::OK
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_nobody_polls_does_not_hold_the_response_for_ever() {
    let (layer, hangs) = outrun();
    let cookie = visit(&layer, "", "user", "ada").await;
    hangs.store(true, Ordering::SeqCst);
    let mut kept: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let answer = request(&layer, &cookie, async |session| {
        let clone = session.clone();
        let mut read = Box::pin(async move {
            let _ = clone.get::<String>("user").await;
        });
        assert!((&mut read).now_or_never().is_none());
        kept.push(read);
        session.set("user", "eve").unwrap();
        StatusCode::OK
    })
    .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// A clone writes while the handler answers, and what it has begun needs a cookie.
#[tokio::test]
async fn the_response_waits_for_a_write_that_a_clone_has_begun() {
    let server = RedisServer::start();
    let store = Store::patient(&server);
    let layer = SessionLayer::new(store.clone());
    let before = visit(&layer, "", "user", "ada").await;

    let (sender, task) = tokio::sync::oneshot::channel();
    let created = request(&layer, "", async |session: Session| {
        server.signal("STOP");
        store.asked();
        let writer = tokio::spawn(async move { session.increment("n", 1).await });
        eventually("it is on its way", async || store.asked() > 0).await;
        sender.send(writer).unwrap();
        // The reply cannot be here before the handler's answer is.
        server.signal("CONT");
        StatusCode::OK
    })
    .await;
    assert_eq!(task.await.unwrap().await.unwrap().unwrap(), 1);
    let cookie = created.token();
    assert_eq!(created.outcome, None, "the layer had nothing to write");
    let n = request(&layer, &cookie, async |session: Session| {
        assert_eq!(session.get::<i64>("n").await.unwrap(), Some(1));
        StatusCode::OK
    });
    n.await;

    let destroyed = request(&layer, &before, async |session: Session| {
        server.signal("STOP");
        store.asked();
        tokio::spawn(async move { session.destroy().await });
        eventually("it is on its way", async || store.asked() > 0).await;
        server.signal("CONT");
        StatusCode::OK
    })
    .await;
    assert!(destroyed.is_removal());
}
