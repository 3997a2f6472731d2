//! What a handler has begun when it answers is settled before the response goes out, and what it
//! has asked for and not waited for is not forgotten.

use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;
use tower_handoff::session::{CommitOutcome, Fault, FaultySessions, Session, SessionLayer};

use super::support::{Store, read, request, visit};
use crate::support::eventually::eventually;

mod in_doubt;

const OK: StatusCode = StatusCode::OK;
const FAILED: StatusCode = StatusCode::BAD_GATEWAY;
const SLOW: Fault = Fault::Slow(Duration::from_secs(1));

type Faulty = FaultySessions<Store>;

fn faulty() -> (Faulty, SessionLayer) {
    let store = FaultySessions::new(Store::memory());
    let layer = SessionLayer::new(store.clone());
    (store, layer)
}

/// A write that acts at its await, by number.
async fn write(session: Session, number: u8) {
    match number {
        0 => drop(session.increment("n", 1).await.unwrap()),
        1 => drop(session.update("n", |_| Some(1)).await.unwrap()),
        2 => {
            session.set("n", &1).unwrap();
            session.save().await.unwrap();
        }
        _ => assert!(session.destroy().await.unwrap()),
    }
}

/// Lets a task do it, and comes back when the store has been asked and has not answered.
async fn begin(store: &Faulty, work: impl Future<Output = ()> + Send + 'static) {
    let before = store.operations();
    store.fail(SLOW);
    tokio::spawn(work);
    eventually("the store is asked", async || store.operations() > before).await;
    store.heal();
}

#[tokio::test(start_paused = true)]
async fn a_response_that_fails_waits_for_the_cookie_of_what_a_clone_has_begun() {
    for number in 0..3 {
        let (store, layer) = faulty();
        let answer = request(&layer, "", async |session: Session| {
            begin(&store, write(session.clone(), number)).await;
            FAILED
        })
        .await;
        assert_eq!(answer.status, FAILED);
        request(&layer, &answer.token(), async |session| {
            assert_eq!(session.get("n").await.unwrap(), Some(1), "{number}");
            OK
        })
        .await;
    }
    let (store, layer) = faulty();
    let cookie = visit(&layer, "", "user", "ada").await;
    let answer = request(&layer, &cookie, async |session: Session| {
        begin(&store, write(session.clone(), 3)).await;
        FAILED
    })
    .await;
    assert!(answer.is_removal(), "a logout");
}

#[tokio::test(start_paused = true)]
async fn what_is_set_during_a_write_of_a_clone_is_discarded_with_a_response_that_fails() {
    let (store, layer) = faulty();
    let answer = request(&layer, "", async |session: Session| {
        begin(&store, write(session.clone(), 2)).await;
        session.set("lost", "1").unwrap();
        FAILED
    })
    .await;
    assert_eq!(answer.outcome, Some(CommitOutcome::Discarded));
    assert_eq!(read(&layer, &answer.token(), "lost").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_hidden_by_a_write_that_nobody_finishes() {
    let (store, layer) = faulty();
    let mut kept = None;
    let answer = request(&layer, "", async |session: Session| {
        store.fail(SLOW);
        let mut stuck = Box::pin(write(session.clone(), 0));
        assert!((&mut stuck).now_or_never().is_none());
        kept = Some(stuck);
        StatusCode::NOT_IMPLEMENTED
    })
    .await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(answer.refusal, None);
}

#[tokio::test(start_paused = true)]
async fn a_destroy_is_carried_out_though_nobody_waits_for_it() {
    for reads_first in [false, true] {
        for status in [OK, FAILED] {
            for word in [None, Some("bye")] {
                let (store, layer) = faulty();
                let cookie = visit(&layer, "", "user", "ada").await;
                let answer = request(&layer, &cookie, async |session: Session| {
                    if reads_first {
                        assert!(session.exists().await.unwrap());
                    }
                    session.set("role", "admin").unwrap();
                    session.bind("ada").unwrap();
                    store.fail_nth(1, SLOW);
                    assert!(session.destroy().now_or_never().is_none());
                    if let Some(word) = word {
                        session.set("word", word).unwrap();
                    }
                    status
                })
                .await;
                assert_eq!(answer.status, status);
                assert_eq!(read(&layer, &cookie, "user").await, None);
                if status == FAILED || word.is_none() {
                    assert!(answer.is_removal());
                    continue;
                }
                let fresh = answer.token();
                assert_eq!(read(&layer, &fresh, "word").await.as_deref(), word);
                for before in ["user", "role"] {
                    assert_eq!(read(&layer, &fresh, before).await, None);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_destroy_outlives_its_request() {
    let (store, layer) = faulty();
    let cookie = visit(&layer, "", "user", "ada").await;
    for panics in [false, true] {
        let cookie = visit(&layer, &cookie, "user", "ada").await;
        let (inside, of_task, slow) = (layer.clone(), cookie.clone(), store.clone());
        let task = tokio::spawn(async move {
            request(&inside, &of_task, async |session: Session| {
                slow.fail_nth(1, SLOW);
                let destroy = session.destroy();
                if panics {
                    assert!(destroy.now_or_never().is_none());
                    panic!("the handler's own fault");
                }
                destroy.await.unwrap();
                OK
            })
            .await
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        task.abort();
        assert!(task.await.is_err());
        eventually("it ends", async || {
            read(&layer, &cookie, "user").await.is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn a_destroy_that_failed_writes_nothing_that_was_set_before() {
    let (store, layer) = faulty();
    for (fault, ended) in [(Fault::Down, false), (Fault::ReplyLost, true)] {
        let cookie = visit(&layer, "", "user", "ada").await;
        let answer = request(&layer, &cookie, async |session: Session| {
            session.set("user", "eve").unwrap();
            store.fail_nth(1, fault);
            assert!(session.destroy().await.unwrap_err().is_unavailable());
            OK
        })
        .await;
        assert_eq!(answer.set_cookie(), None);
        let user = read(&layer, &cookie, "user").await;
        assert_eq!(user.as_deref(), (!ended).then_some("ada"));
    }
}
