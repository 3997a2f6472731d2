//! Typed fields, their formats, and values that are taken once.

use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tower_handoff::BoxError;
use tower_handoff::session::{
    CommitOutcome, Decode, Encode, Key, Raw, Session, SessionErrorKind, SessionLayer,
    SessionLimits, SessionStore,
};

use super::support::{Store, on_both, read, request, visit};

const OK: StatusCode = StatusCode::OK;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cart {
    items: Vec<u32>,
}

const CART: Key<Cart> = Key::new("cart");
const USER: Key<String> = Key::new("user");
const VISITS: Key<i64> = Key::new("visits");
const AVATAR: Key<Bytes, Raw> = Key::new("avatar");

#[tokio::test]
async fn a_key_stands_wherever_a_name_does() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let answer = request(&layer, "", async |session| {
            session.set(CART, &Cart { items: vec![1] }).unwrap();
            session.set(USER, "ada").unwrap();
            assert_eq!(session.increment(VISITS, 2).await.unwrap(), 2);
            OK
        })
        .await;
        let cookie = answer.token();
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
        request(&layer, &cookie, async |session| {
            let add = |cart: Option<Cart>| {
                let mut cart = cart.unwrap_or_default();
                cart.items.push(2);
                Some(cart)
            };
            let cart = session.update(CART, add).await.unwrap();
            assert_eq!(cart.unwrap().items, [1, 2]);
            assert_eq!(session.get(CART).await.unwrap().unwrap().items, [1, 2]);
            assert_eq!(session.get(VISITS).await.unwrap(), Some(2));
            let raw = session.get_raw(USER).await.unwrap();
            assert_eq!(raw.as_deref(), Some(&b"\"ada\""[..]));
            session.remove(USER).unwrap();
            session.set_raw(CART, &b"no cart"[..]).unwrap();
            OK
        })
        .await;
        request(&layer, &cookie, async |session| {
            assert_eq!(session.get(USER).await.unwrap(), None);
            let name = String::from("visits");
            assert_eq!(session.get::<u8>(&name).await.unwrap(), Some(2));
            OK
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn bytes_stay_bytes() {
    on_both(async |store: Store| {
        let limits = SessionLimits::new(1 << 17, 1 << 17).unwrap();
        let layer = SessionLayer::new(store.clone()).with_limits(limits);
        let avatar: Bytes = (0..1 << 16).map(|n| (n % 251) as u8).collect();
        let answer = request(&layer, "", async |session| {
            session.set(AVATAR, &avatar).unwrap();
            OK
        })
        .await;
        request(&layer, &answer.token(), async |session| {
            let id = session.id().await.unwrap().unwrap();
            let record = store.load(&id).await.unwrap().unwrap();
            assert!(record.as_bytes().len() < (1 << 16) + 256);
            let (one, two) = (session.get(AVATAR).await, session.get(AVATAR).await);
            let (one, two) = (one.unwrap().unwrap(), two.unwrap().unwrap());
            assert_eq!(one, avatar);
            assert_eq!(one.as_ptr(), two.as_ptr(), "no copies");
            OK
        })
        .await;
    })
    .await;
}

/// Counts in the only way that matters here: it refuses what is odd.
enum EvenOnly {}

impl Encode<u8> for EvenOnly {
    fn encode(value: &u8) -> Result<Bytes, BoxError> {
        match value % 2 {
            0 => Ok(Bytes::copy_from_slice(&[*value])),
            _ => Err("odd".into()),
        }
    }
}

impl Decode<u8> for EvenOnly {
    fn decode(bytes: &Bytes) -> Result<u8, BoxError> {
        bytes.first().copied().ok_or_else(|| "empty".into())
    }
}

#[tokio::test]
async fn a_key_may_name_a_format_of_its_own() {
    const EVEN: Key<u8, EvenOnly> = Key::new("even");
    let layer = SessionLayer::new(Store::memory());
    let answer = request(&layer, "", async |session| {
        session.set(EVEN, &2).unwrap();
        let error = session.set(EVEN, &3).unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Encode);
        let double = |n: Option<u8>| n.map(|n| n * 2);
        assert_eq!(session.update(EVEN, double).await.unwrap(), Some(4));
        OK
    })
    .await;
    request(&layer, &answer.token(), async |session| {
        assert_eq!(
            session.get_raw(EVEN).await.unwrap().as_deref(),
            Some(&[4][..])
        );
        assert_eq!(session.get(EVEN).await.unwrap(), Some(4));
        OK
    })
    .await;
}

#[tokio::test]
async fn what_is_taken_is_taken_once() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        let answer = request(&layer, &cookie, async |session| {
            let takes = (0..9).map(|_| session.take(USER));
            let taken = futures_util::future::join_all(takes).await;
            let taken = taken.into_iter().filter_map(Result::unwrap);
            assert_eq!(taken.collect::<Vec<_>>(), ["ada"]);
            assert_eq!(session.get(USER).await.unwrap(), None);
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Written));
        store.asked();
        let answer = request(&layer, &cookie, async |session| {
            assert_eq!(session.take(USER).await.unwrap(), None);
            session.set(USER, "eve").unwrap();
            assert_eq!(session.take(USER).await.unwrap().as_deref(), Some("eve"));
            assert_eq!(session.take::<String>("").await.unwrap(), None);
            OK
        })
        .await;
        assert_eq!(
            (answer.status, read(&layer, &cookie, "user").await),
            (OK, None)
        );
    })
    .await;
}

#[tokio::test]
async fn a_take_without_a_value_writes_nothing() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "other", "1").await;
        for (cookie, asked) in [(&*cookie, 1), ("", 0)] {
            store.asked();
            let answer = request(&layer, cookie, async |session| {
                assert_eq!(session.take(USER).await.unwrap(), None);
                OK
            })
            .await;
            assert_eq!((answer.outcome, store.asked()), (None, asked));
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_that_failed_keeps_its_message_and_a_sealed_handle_takes_none() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let cookie = visit(&layer, "", "user", "ada").await;
        let mut kept = None;
        request(&layer, &cookie, async |session: Session| {
            assert!(session.take(USER).await.unwrap().is_some());
            kept = Some(session);
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        assert_eq!(read(&layer, &cookie, "user").await.as_deref(), Some("ada"));
        let error = kept.unwrap().take(USER).await.unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Sealed);
    })
    .await;
}
