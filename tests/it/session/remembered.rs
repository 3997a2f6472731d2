//! Time-outs and cookies of a session's own, and whose clock counts.

use std::time::Duration;

use http::StatusCode;
use http::header::SET_COOKIE;
use tower_handoff::session::{
    Session, SessionCookie, SessionExpiry, SessionLayer, SessionStore, Users,
};

use super::stage::Staged;
use super::support::{Answer, Store, on_both, read, request, visit};
use super::users::{id_of, listed, log_in};

const OK: StatusCode = StatusCode::OK;

const fn min(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

const DAY: u64 = 24 * 60;

fn times(idle: u64, absolute: u64) -> SessionExpiry {
    SessionExpiry::new(min(idle), min(absolute)).unwrap()
}

fn layer(store: impl SessionStore) -> SessionLayer {
    SessionLayer::new(store).with_expiry(times(10, 60))
}

async fn with(layer: &SessionLayer, cookie: &str, change: impl FnOnce(&Session)) -> Answer {
    request(layer, cookie, async |session| {
        change(&session);
        OK
    })
    .await
}

/// `Max-Age` of the cookie that was set, in minutes.
fn max_age(answer: &Answer) -> Option<u64> {
    let cookie = answer.headers.get(SET_COOKIE).expect("a cookie");
    let (_, seconds) = cookie.to_str().unwrap().split_once("Max-Age=")?;
    Some((seconds.parse::<u64>().unwrap() + 30) / 60)
}

#[tokio::test(start_paused = true)]
async fn who_is_remembered_stays_so_through_writes_renewals_and_rotations() {
    let store = Store::memory();
    let layer = layer(store);
    let cookie = visit(&layer, "", "user", "ada").await;
    let answer = with(&layer, &cookie, |session| {
        session.set_expiry(times(14 * DAY, 30 * DAY)).unwrap();
    })
    .await;
    assert_eq!(max_age(&answer), Some(30 * DAY));
    assert_eq!(answer.token(), cookie, "the same secret, for longer");
    visit(&layer, &cookie, "user", "eve").await;
    tokio::time::advance(min(13 * DAY)).await;
    assert!(read(&layer, &cookie, "user").await.is_some());
    tokio::task::yield_now().await; // the renewal
    tokio::time::advance(min(13 * DAY)).await;
    let answer = with(&layer, &cookie, |session| session.rotate().unwrap()).await;
    assert_eq!(max_age(&answer), Some(4 * DAY), "to the same deadline");
    let cookie = answer.token();
    tokio::time::advance(min(4 * DAY) - min(1)).await;
    assert!(read(&layer, &cookie, "user").await.is_some());
    tokio::time::advance(min(1)).await;
    assert_eq!(read(&layer, &cookie, "user").await, None);
}

#[tokio::test(start_paused = true)]
async fn time_outs_of_its_own_may_be_shorter_and_come_with_the_creation() {
    let layer = layer(Store::memory());
    let answer = with(&layer, "", |session| {
        session.set("user", "ada").unwrap();
        session.set_expiry(times(1, 2)).unwrap();
        session.set_persistent(false).unwrap();
    })
    .await;
    assert_eq!(max_age(&answer), None);
    let cookie = answer.token();
    visit(&layer, &cookie, "user", "eve").await;
    tokio::time::advance(min(1)).await;
    assert_eq!(read(&layer, &cookie, "user").await, None);
    // Nobody's session: nothing to say it of.
    let answer = with(&layer, "", |session| {
        session.set_expiry(times(1, 2)).unwrap();
        session.set_persistent(true).unwrap();
    })
    .await;
    assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
}

#[tokio::test(start_paused = true)]
async fn other_time_outs_are_discarded_with_a_response_that_fails() {
    let layer = layer(Store::memory());
    let cookie = visit(&layer, "", "user", "ada").await;
    let answer = request(&layer, &cookie, async |session| {
        session.set_expiry(times(14 * DAY, 30 * DAY)).unwrap();
        StatusCode::INTERNAL_SERVER_ERROR
    })
    .await;
    assert_eq!(answer.set_cookie(), None);
    tokio::time::advance(min(10)).await;
    assert_eq!(read(&layer, &cookie, "user").await, None);
}

#[tokio::test]
async fn a_session_keeps_how_its_cookie_is_kept() {
    on_both(async |store: Store| {
        let layer = layer(store);
        let closes = SessionCookie::default().until_browser_closes();
        let other = layer.clone().with_cookie(closes);
        for (layer, default) in [(&layer, Some(60)), (&other, None)] {
            let answer = with(layer, "", |session| session.set("a", "1").unwrap()).await;
            assert_eq!(max_age(&answer), default);
            let mut cookie = answer.token();
            for (persistent, expected) in [(false, None), (true, Some(60))] {
                let answer = with(layer, &cookie, |session| {
                    session.set_persistent(persistent).unwrap();
                })
                .await;
                assert_eq!(max_age(&answer), expected);
                visit(layer, &cookie, "a", "2").await;
                for reads_first in [false, true] {
                    let answer = request(layer, &cookie, async |session| {
                        if reads_first {
                            session.exists().await.unwrap();
                        }
                        session.rotate().unwrap();
                        OK
                    })
                    .await;
                    assert_eq!(max_age(&answer), expected, "after a rotation");
                    cookie = answer.token();
                }
            }
            // A login starts over: whoever comes next is not remembered by mistake.
            let answer = log_in(layer, &cookie, "eve").await;
            assert_eq!(max_age(&answer), default);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_login_starts_the_clocks_anew_as_it_says_or_as_the_layer_says() {
    let store = Store::memory();
    let (layer, users) = (layer(store.clone()), Users::new(store));
    let cookie = visit(&layer, "", "cart", "full").await;
    for _ in 0..6 {
        tokio::time::advance(min(9)).await;
        visit(&layer, &cookie, "cart", "full").await;
    }
    let answer = log_in(&layer, &cookie, "ada").await;
    assert_eq!(max_age(&answer), Some(60));
    let mut cookie = answer.token();
    let began = users.sessions("ada").await.unwrap()[0].created_ms();
    for _ in 0..6 {
        tokio::time::advance(min(9)).await;
        visit(&layer, &cookie, "cart", "full").await;
    }
    assert_eq!(read(&layer, &cookie, "cart").await.as_deref(), Some("full"));
    let session = &users.sessions("ada").await.unwrap()[0];
    assert_eq!(session.created_ms(), began, "a write is no login");
    assert!(session.seen_ms() >= began + 54 * 60_000);
    // Remembered, and then not any more.
    for (expiry, minutes) in [(Some(times(14 * DAY, 30 * DAY)), 30 * DAY), (None, 60)] {
        let answer = with(&layer, &cookie, |session| {
            session.bind("ada").unwrap();
            if let Some(expiry) = expiry {
                session.set_expiry(expiry).unwrap();
            }
        })
        .await;
        assert_eq!(max_age(&answer), Some(minutes));
        cookie = answer.token();
    }
    assert!(users.sessions("ada").await.unwrap()[0].created_ms() > began);
    tokio::time::advance(min(10)).await;
    assert_eq!(read(&layer, &cookie, "cart").await, None);
    assert!(listed(&users, "ada").await.is_empty());
}

/// A store as an instance sees it whose own clock is wrong.
fn skewed(store: &Store, ms: i64) -> Staged<Store> {
    let staged = Staged::new(store.clone());
    staged.ahead(ms);
    staged
}

const SKEWS: [i64; 2] = [-5 * 60_000, 5 * 60_000];

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_of_an_instance_moves_no_deadline() {
    for skew in SKEWS {
        let store = Store::memory();
        let layer = layer(skewed(&store, skew));
        let answer = log_in(&layer, "", "ada").await;
        assert_eq!(max_age(&answer), Some(60));
        let cookie = answer.token();
        tokio::time::advance(min(9)).await;
        visit(&layer, &cookie, "cart", "full").await;
        tokio::time::advance(min(10) - Duration::from_millis(1)).await;
        assert!(
            store
                .load(&id_of(&layer, &cookie).await.unwrap())
                .await
                .is_ok()
        );
        let answer = with(&layer, &cookie, |session| {
            session.set_expiry(times(20, 30)).unwrap();
        })
        .await;
        assert_eq!(max_age(&answer), Some(30));
        for _ in 0..2 {
            tokio::time::advance(min(14)).await;
            visit(&layer, &cookie, "cart", "full").await;
        }
        tokio::time::advance(min(2) - Duration::from_millis(1)).await;
        assert!(read(&layer, &cookie, "cart").await.is_some());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(read(&layer, &cookie, "cart").await, None);
        assert!(listed(&Users::new(store), "ada").await.is_empty());
    }
}

#[tokio::test]
async fn the_stores_clock_counts_also_where_the_instance_is_wrong() {
    on_both(async |store: Store| {
        for skew in SKEWS {
            let users = Users::new(store.clone());
            let ms = Duration::from_millis;
            let short = SessionExpiry::new(ms(600), min(60)).unwrap();
            let layer = layer(skewed(&store, skew)).with_expiry(short);
            let began = store.now_ms();
            let cookie = log_in(&layer, "", "ada").await.token();
            let session = users.sessions("ada").await.unwrap().remove(0);
            let (created, now) = (session.created_ms(), store.now_ms());
            // Redis's clock is an estimate here, and off by less than a time-out.
            assert!((began - 1000..now + 1000).contains(&created), "{created}");
            assert_eq!(session.expires_ms(), session.seen_ms() + 600);
            while id_of(&layer, &cookie).await.is_some() {
                assert!(store.now_ms() < now + 30_000, "it never expires");
                // A read renews where a renewal seems due: seldom enough for the session to end.
                tokio::time::sleep(ms(700)).await;
            }
            assert!(listed(&users, "ada").await.is_empty());
        }
    })
    .await;
}
