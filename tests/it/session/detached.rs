//! Handles that outlive their response.

use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;
use tokio::time::timeout;
use tower_handoff::lifecycle::{Lifecycle, Managed};
use tower_handoff::session::{
    CommitOutcome, DetachedSession, Fault, FaultySessions, MemorySessions, Session,
    SessionErrorKind, SessionLayer,
};

use super::stage::{Op, Staged};
use super::support::{Store, on_both, read, request, visit};
use crate::support::eventually::PATIENCE;

const OK: StatusCode = StatusCode::OK;

/// A detached handle of a request that has been answered.
async fn detach(layer: &SessionLayer, cookie: &str) -> DetachedSession {
    let mut detached = None;
    request(layer, cookie, async |session: Session| {
        detached = session.detach().await.unwrap();
        OK
    })
    .await;
    detached.expect("a session")
}

#[tokio::test]
async fn a_detached_handle_commits_when_told_and_only_then() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        let session = detach(&layer, &cookie).await;
        assert_eq!(session.get::<String>("user").await.unwrap().unwrap(), "ada");
        session.set("heard", "one").unwrap();
        assert_eq!(read(&layer, &cookie, "heard").await, None);
        session.commit().await.unwrap();
        assert_eq!(read(&layer, &cookie, "heard").await.as_deref(), Some("one"));
        store.asked();
        session.commit().await.unwrap();
        assert_eq!(store.asked(), 0, "nothing to write");
        session.increment("n", 1).await.unwrap();
        session.remove("heard").unwrap();
        session.clone().commit().await.unwrap();
        assert_eq!(read(&layer, &cookie, "heard").await, None);
        session.set("lost", "yes").unwrap();
        drop(session);
        assert_eq!(read(&layer, &cookie, "lost").await, None);
    })
    .await;
}

#[tokio::test]
async fn a_session_may_begin_with_its_detached_handle() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let mut detached = None;
        let answer = request(&layer, "", async |session: Session| {
            assert!(session.detach().await.unwrap().is_none());
            session.set("user", "ada").unwrap();
            detached = session.detach().await.unwrap();
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        let (cookie, session) = (answer.token(), detached.unwrap());
        session.set("heard", "one").unwrap();
        session.commit().await.unwrap();
        assert_eq!(read(&layer, &cookie, "heard").await.as_deref(), Some("one"));
        // With a rotation: the response carries the new token, and the handle goes with it.
        let mut detached = None;
        let answer = request(&layer, &cookie, async |session: Session| {
            session.rotate().unwrap();
            detached = session.detach().await.unwrap();
            session.set("after", "yes").unwrap();
            OK
        })
        .await;
        let (fresh, session) = (answer.token(), detached.unwrap());
        assert_eq!(answer.outcome, Some(CommitOutcome::Written));
        session.set("heard", "two").unwrap();
        session.commit().await.unwrap();
        assert_eq!(read(&layer, &fresh, "heard").await.as_deref(), Some("two"));
        assert_eq!(read(&layer, &fresh, "after").await.as_deref(), Some("yes"));
        assert_eq!(read(&layer, &cookie, "heard").await, None);
    })
    .await;
}

#[tokio::test]
async fn what_ends_the_session_ends_its_detached_handles() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        for rotates in [false, true] {
            let cookie = visit(&layer, "", "user", "ada").await;
            let session = detach(&layer, &cookie).await;
            assert_eq!(
                session.rotate().unwrap_err().kind(),
                SessionErrorKind::Sealed
            );
            request(&layer, &cookie, async |session| {
                match rotates {
                    true => session.rotate().unwrap(),
                    false => assert!(session.destroy().await.unwrap()),
                }
                OK
            })
            .await;
            assert!(session.exists().await.unwrap(), "it has not looked again");
            session.refresh();
            assert_eq!(session.get::<String>("user").await.unwrap(), None);
            assert!(!session.exists().await.unwrap());
            session.set("late", "1").unwrap();
            let gone = SessionErrorKind::Gone;
            assert_eq!(session.commit().await.unwrap_err().kind(), gone);
            let increment = session.increment("n", 1).await;
            assert_eq!(increment.unwrap_err().kind(), gone);
        }
        let cookie = visit(&layer, "", "user", "ada").await;
        let blind = detach(&layer, &cookie).await;
        let other = detach(&layer, &cookie).await;
        assert!(other.destroy().await.unwrap(), "it may end the session");
        for session in [blind, other] {
            session.set("late", "1").unwrap();
            let error = session.commit().await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Gone, "none is started");
        }
    })
    .await;
}

#[tokio::test]
async fn a_sealed_handle_cannot_be_detached() {
    let layer = SessionLayer::new(Store::memory());
    let cookie = visit(&layer, "", "user", "ada").await;
    let mut kept = None;
    request(&layer, &cookie, async |session| {
        kept = Some(session);
        OK
    })
    .await;
    let error = kept.unwrap().detach().await.unwrap_err();
    assert_eq!(error.kind(), SessionErrorKind::Sealed);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_a_commit_that_nobody_waits_for() {
    let store = Staged::new(MemorySessions::new());
    store.hold(Op::Save);
    let layer = SessionLayer::new(store.clone());
    let cookie = visit(&layer, "", "user", "ada").await;
    let session = detach(&layer, &cookie).await;
    session.set("heard", "everything").unwrap();
    assert!(session.commit().now_or_never().is_none(), "begun, dropped");
    let commits = layer.commits();
    tokio::task::yield_now().await;
    assert!(commits.flush().now_or_never().is_none());
    let lifecycle = Lifecycle::builder().manage(layer.commits());
    let lifecycle = lifecycle.build().unwrap();
    lifecycle.shutdown();
    let open = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        store.cue();
    };
    let server = std::future::ready(Ok::<(), std::io::Error>(()));
    let (report, ()) = tokio::join!(lifecycle.run(server), open);
    assert_eq!(report.exit_status(), 0, "{report:?}");
    let heard = read(&layer, &cookie, "heard").await;
    assert_eq!(heard.as_deref(), Some("everything"));
}

#[tokio::test(start_paused = true)]
async fn what_begins_while_a_flush_waits_is_sent_at_once_and_waited_for_too() {
    let store = Staged::new(MemorySessions::new());
    store.hold(Op::Destroy);
    let layer = SessionLayer::new(store.clone());
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let cookie = visit(&layer, "", "user", "ada").await;
        sessions.push(detach(&layer, &cookie).await);
    }
    let [slow, quick, slower, latest] = &sessions[..] else {
        unreachable!("four were made")
    };
    assert!(slow.destroy().now_or_never().is_none(), "begun, dropped");
    let commits = layer.commits();
    let mut flush = commits.flush();
    assert!((&mut flush).now_or_never().is_none(), "it waits");
    quick.set("heard", "everything").unwrap();
    let sent = timeout(PATIENCE, quick.commit()).await;
    sent.expect("it waits for nobody").unwrap();
    assert!(slower.destroy().now_or_never().is_none(), "begun, dropped");
    store.cue();
    let ended = timeout(PATIENCE, &mut flush).await;
    ended.expect_err("one is under way still");
    // It begins when those have ended that were there at first, and one of the next is there still.
    assert!(latest.destroy().now_or_never().is_none(), "begun, dropped");
    store.cue();
    let ended = timeout(PATIENCE, flush).await;
    ended.expect("for this one nobody waits").unwrap();
    store.cue();
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_committed_is_committed_later() {
    let store = FaultySessions::new(MemorySessions::new());
    let layer = SessionLayer::new(store.clone());
    let cookie = visit(&layer, "", "user", "ada").await;
    let session = detach(&layer, &cookie).await;
    session.set("heard", "one").unwrap();
    for fault in [Fault::Down, Fault::ReplyLost] {
        store.fail(fault);
        assert!(session.commit().await.unwrap_err().is_unavailable());
        store.heal();
        session.refresh();
        let heard = session.get::<String>("heard").await.unwrap();
        assert_eq!(heard.as_deref(), Some("one"), "still its own word");
    }
    session.set("more", "two").unwrap();
    session.commit().await.unwrap();
    assert_eq!(read(&layer, &cookie, "heard").await.as_deref(), Some("one"));
    assert_eq!(read(&layer, &cookie, "more").await.as_deref(), Some("two"));
}

#[tokio::test]
async fn an_explicit_save_is_seen_at_once_and_stays() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        let answer = request(&layer, &cookie, async |session| {
            store.asked();
            session.save().await.unwrap();
            assert_eq!(store.asked(), 0, "nothing to write");
            session.set("step", "one").unwrap();
            session.save().await.unwrap();
            assert_eq!(store.asked(), 1);
            assert_eq!(read(&layer, &cookie, "step").await.as_deref(), Some("one"));
            session.set("step", "two").unwrap();
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Discarded));
        assert_eq!(read(&layer, &cookie, "step").await.as_deref(), Some("one"));
        // Logged out meanwhile: nothing comes back, and the handle says so.
        let answer = request(&layer, &cookie, async |session: Session| {
            session.get::<String>("user").await.unwrap();
            request(&layer, &cookie, async |other: Session| {
                assert!(other.destroy().await.unwrap());
                OK
            })
            .await;
            session.set("late", "1").unwrap();
            let error = session.save().await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Gone);
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
        assert_eq!(answer.set_cookie(), None);
        assert_eq!(read(&layer, &cookie, "late").await, None);
    })
    .await;
}
