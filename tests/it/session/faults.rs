//! Every fault of a store meets everything a request does with its session.

use std::time::Duration;

use http::StatusCode;
use tower_handoff::Reason;
use tower_handoff::session::{
    CommitOutcome, Fault, FaultySessions, MemorySessions, Session, SessionErrorKind, SessionLayer,
    Undecodable, contract,
};

use super::support::{Answer, read, request, visit};

const OK: StatusCode = StatusCode::OK;
const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
const HANG: Fault = Fault::Hang(Duration::from_secs(5));

struct World {
    store: FaultySessions<MemorySessions>,
    layer: SessionLayer,
    cookie: String,
}

impl World {
    async fn new(policy: Undecodable) -> Self {
        let store = FaultySessions::new(MemorySessions::new());
        let layer = SessionLayer::new(store.clone()).with_undecodable(policy);
        let cookie = visit(&layer, "", "user", "ada").await;
        Self {
            store,
            layer,
            cookie,
        }
    }

    /// A request under the cookie while the fault lasts.
    async fn meets(&self, fault: Fault, handler: impl AsyncFnOnce(Session)) -> Answer {
        self.store.fail(fault);
        let answer = request(&self.layer, &self.cookie, async |session| {
            handler(session).await;
            OK
        });
        let answer = answer.await;
        self.store.heal();
        answer
    }

    async fn is_intact(&self) {
        let user = read(&self.layer, &self.cookie, "user").await;
        assert_eq!(user.as_deref(), Some("ada"));
    }
}

/// What a store that is not to be reached says to a handler.
fn kind_of(fault: Fault) -> SessionErrorKind {
    match fault {
        Fault::Down | Fault::Newer => SessionErrorKind::Unavailable,
        Fault::Corrupt => SessionErrorKind::Corrupt,
        _ => SessionErrorKind::OutcomeUnknown,
    }
}

#[tokio::test(start_paused = true)]
async fn an_untouched_request_meets_no_fault() {
    let world = World::new(Undecodable::Error).await;
    for fault in [Fault::Down, HANG, Fault::Nil, Fault::Corrupt] {
        let before = world.store.operations();
        let answer = world.meets(fault, async |_| ()).await;
        assert_eq!((answer.status, answer.set_cookie()), (OK, None));
        assert_eq!(world.store.operations(), before);
    }
    world.is_intact().await;
}

#[tokio::test(start_paused = true)]
async fn down_hung_and_corrupt_fail_what_needs_the_session_and_change_nothing() {
    let world = World::new(Undecodable::Error).await;
    for fault in [Fault::Down, HANG, Fault::Corrupt, Fault::Newer] {
        let kind = kind_of(fault);
        let read = async |session: Session| {
            let error = session.get::<String>("user").await.unwrap_err();
            assert_eq!(error.kind(), kind);
        };
        let answer = world.meets(fault, read).await;
        assert_eq!((answer.status, answer.set_cookie()), (OK, None));

        let write = async |session: Session| session.set("user", "eve").unwrap();
        let answer = world.meets(fault, write).await;
        assert_eq!((answer.status, answer.set_cookie()), (AWAY, None));
        let refusal = answer.refusal.unwrap();
        assert_eq!(refusal.reason, Reason::SessionUnavailable);
        assert!(refusal.retry_after.is_some());

        let read_then_write = async |session: Session| {
            assert!(session.exists().await.is_err());
            session.set("user", "eve").unwrap();
            let update = session.update("user", |_: Option<String>| None);
            assert_eq!(update.await.unwrap_err().kind(), kind);
            let increment = session.increment("n", 1).await;
            assert_eq!(increment.unwrap_err().kind(), kind);
        };
        let answer = world.meets(fault, read_then_write).await;
        assert_eq!((answer.status, answer.set_cookie()), (AWAY, None));

        let logout = async |session: Session| {
            assert_eq!(session.destroy().await.unwrap_err().kind(), kind);
        };
        let answer = world.meets(fault, logout).await;
        assert_eq!((answer.status, answer.set_cookie()), (OK, None));

        let optional = async |session: Session| {
            let optional = session.optional().await;
            assert_eq!(optional.is_some(), fault == Fault::Corrupt);
            if let Some(session) = optional {
                session.set("user", "eve").unwrap();
            }
        };
        let answer = world.meets(fault, optional).await;
        let status = if fault == Fault::Corrupt { AWAY } else { OK };
        assert_eq!((answer.status, answer.outcome), (status, None));
        assert_eq!(answer.set_cookie(), None);
        world.is_intact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_find_is_no_session() {
    for fault in [Fault::Nil, Fault::Corrupt] {
        let world = World::new(Undecodable::Discard).await;
        let read_none = async |session: Session| {
            assert_eq!(session.get::<String>("user").await.unwrap(), None);
            assert!(!session.exists().await.unwrap());
        };
        let answer = world.meets(fault, read_none).await;
        assert_eq!((answer.status, answer.set_cookie()), (OK, None));
        let logout = async |session: Session| {
            assert!(!session.destroy().await.unwrap());
        };
        let answer = world.meets(fault, logout).await;
        assert_eq!((answer.status, answer.set_cookie()), (OK, None));
        world.is_intact().await;
    }
    // A write starts a session of its own, and the one that is there stays as it was.
    let world = World::new(Undecodable::Discard).await;
    let write = async |session: Session| session.set("user", "eve").unwrap();
    let fresh = world.meets(Fault::Nil, write).await.token();
    assert_eq!(
        read(&world.layer, &fresh, "user").await.as_deref(),
        Some("eve")
    );
    world.is_intact().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_vanishes_after_it_was_read_is_gone() {
    for fault in [Fault::Nil, Fault::Corrupt] {
        let world = World::new(Undecodable::Discard).await;
        world.store.fail_nth(2, fault);
        let answer = request(&world.layer, &world.cookie, async |session: Session| {
            assert!(session.exists().await.unwrap());
            session.set("user", "eve").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
        assert_eq!((answer.status, answer.set_cookie()), (OK, None));
        world.is_intact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_told_from_an_answer() {
    let world = World::new(Undecodable::Discard).await;
    let write = async |session: Session| session.set("user", "eve").unwrap();
    let answer = world.meets(Fault::ReplyLost, write).await;
    assert_eq!((answer.status, answer.set_cookie()), (AWAY, None));
    let user = read(&world.layer, &world.cookie, "user").await;
    assert_eq!(user.as_deref(), Some("eve"), "it was carried out");
    let logout = async |session: Session| {
        let error = session.destroy().await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::OutcomeUnknown);
    };
    world.meets(Fault::ReplyLost, logout).await;
    assert_eq!(read(&world.layer, &world.cookie, "user").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_is_waited_for() {
    let world = World::new(Undecodable::Discard).await;
    let slow = Fault::Slow(Duration::from_secs(2));
    let begun = tokio::time::Instant::now();
    let write = async |session: Session| {
        assert!(session.exists().await.unwrap());
        session.set("user", "eve").unwrap();
    };
    let answer = world.meets(slow, write).await;
    assert_eq!(answer.outcome, Some(CommitOutcome::Written));
    assert_eq!(begun.elapsed(), Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn the_nth_operation_fails_and_no_other() {
    let world = World::new(Undecodable::Discard).await;
    world.store.fail_nth(2, Fault::Down);
    for fails in [false, true, false] {
        request(&world.layer, &world.cookie, async |session: Session| {
            assert_eq!(session.exists().await.is_err(), fails);
            OK
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_fault_it_keeps_the_contract() {
    contract::check(&FaultySessions::new(MemorySessions::new())).await;
}
