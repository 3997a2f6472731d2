//! Sessions expire by their own time-outs, and are renewed no more often than needed.

use std::time::Duration;

use http::StatusCode;
use tower_handoff::session::{MemorySessions, SessionErrorKind, SessionExpiry, SessionLayer};

use super::support::{Store, read, request, visit};

const fn min(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn layer(store: &Store) -> SessionLayer {
    let expiry = SessionExpiry::new(min(10), min(60)).unwrap();
    SessionLayer::new(store.clone()).with_expiry(expiry)
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_expires() {
    let store = Store::memory();
    let layer = layer(&store);
    let cookie = visit(&layer, "", "user", "ada").await;
    tokio::time::advance(min(10) - Duration::from_millis(1)).await;
    assert!(read(&layer, &cookie, "user").await.is_some());
    tokio::task::yield_now().await; // the renewal
    tokio::time::advance(min(10)).await;
    assert_eq!(read(&layer, &cookie, "user").await, None);
}

#[tokio::test(start_paused = true)]
async fn reads_keep_a_session_alive_up_to_its_absolute_deadline() {
    let store = Store::memory();
    let layer = layer(&store);
    let cookie = visit(&layer, "", "user", "ada").await;
    for minute in (9..60).step_by(9) {
        tokio::time::advance(min(9)).await;
        let user = read(&layer, &cookie, "user").await;
        assert!(user.is_some(), "minute {minute}");
        tokio::task::yield_now().await;
    }
    visit(&layer, &cookie, "user", "eve").await; // minute 54; a write moves no deadline either
    tokio::time::advance(min(6)).await;
    assert_eq!(read(&layer, &cookie, "user").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_once_in_a_window() {
    let store = Store::memory();
    let layer = layer(&store);
    let cookie = visit(&layer, "", "user", "ada").await;
    for (seconds, renewed) in [(0, 0), (59, 0), (1, 1), (0, 1), (59, 1), (1, 2), (1, 2)] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        read(&layer, &cookie, "user").await;
        tokio::task::yield_now().await;
        assert_eq!(store.renewed(), renewed, "after {seconds} s more");
    }
    // Whoever only writes says it with the write.
    for _ in 0..5 {
        tokio::time::advance(min(2)).await;
        visit(&layer, &cookie, "user", "eve").await;
    }
    assert_eq!(store.renewed(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_fails_no_request() {
    let store = Store::memory();
    let layer = layer(&store);
    let cookie = visit(&layer, "", "user", "ada").await;
    tokio::time::advance(min(5)).await;
    let answer = request(&layer, &cookie, async |session| {
        assert!(session.exists().await.unwrap());
        store.set_away(true);
        StatusCode::OK
    })
    .await;
    tokio::task::yield_now().await;
    store.set_away(false);
    assert_eq!((answer.status, store.renewed()), (StatusCode::OK, 1));
    assert!(read(&layer, &cookie, "user").await.is_some());
    tokio::task::yield_now().await;
    assert_eq!(store.renewed(), 2, "the next request tries again");
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_the_time_outs_it_began_with() {
    let store = Store::memory();
    let long = layer(&store);
    let short = SessionExpiry::new(min(1), min(2)).unwrap();
    let short = SessionLayer::new(store).with_expiry(short);
    let cookie = visit(&long, "", "user", "ada").await;
    visit(&short, &cookie, "user", "eve").await;
    tokio::time::advance(min(9)).await;
    assert!(read(&short, &cookie, "user").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_is_told_that_it_is_late_for_a_minute_only() {
    let store = Store::memory();
    let layer = layer(&store);
    let old = visit(&layer, "", "user", "ada").await;
    request(&layer, &old, async |session| {
        session.rotate().unwrap();
        StatusCode::OK
    })
    .await;
    tokio::time::advance(Duration::from_secs(61)).await;
    let answer = request(&layer, &old, async |session| {
        session.set("user", "eve").unwrap();
        StatusCode::OK
    })
    .await;
    assert_ne!(answer.token()[..30], old[..30], "a session of its own");
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_is_bounded_and_forgets_what_expired() {
    let store = MemorySessions::with_capacity(2);
    let expiry = SessionExpiry::new(min(1), min(1)).unwrap();
    let layer = SessionLayer::new(store.clone()).with_expiry(expiry);
    let first = visit(&layer, "", "user", "1").await;
    tokio::time::advance(min(1) / 2).await;
    visit(&layer, "", "user", "2").await;
    let answer = request(&layer, "", async |session| {
        let error = session.increment("n", 1).await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Unavailable);
        session.set("user", "3").unwrap();
        StatusCode::OK
    })
    .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        read(&layer, &first, "user").await.as_deref(),
        Some("1"),
        "nobody is thrown out"
    );
    tokio::time::advance(min(1) / 2).await;
    visit(&layer, "", "user", "3").await;
    assert_eq!(store.len(), 2);
    tokio::time::advance(min(2)).await;
    visit(&layer, "", "user", "4").await;
    assert_eq!(store.len(), 1);
}
