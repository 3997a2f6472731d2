//! Every operation of the handle does what it says, on both stores.

use http::StatusCode;
use serde_json::json;
use tower_handoff::session::{
    CommitOutcome, SessionErrorKind, SessionLayer, SessionLimits, SessionStore, Undecodable,
};

use super::support::{Store, on_both, read, request, visit};

const OK: StatusCode = StatusCode::OK;

#[tokio::test]
async fn what_one_request_sets_the_next_one_reads() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let answer = request(&layer, "", async |session| {
            session.set("cart", &json!({"items": [1, 2]})).unwrap();
            session.set_raw("raw", &b"\x00\xff"[..]).unwrap();
            assert!(!session.exists().await.unwrap(), "not before the commit");
            OK
        })
        .await;
        assert_eq!(answer.outcome, Some(CommitOutcome::Written));
        let cookie = answer.token();
        let answer = request(&layer, &cookie, async |session| {
            let cart: Option<serde_json::Value> = session.get("cart").await.unwrap();
            assert_eq!(cart, Some(json!({"items": [1, 2]})));
            let raw = session.get_raw("raw").await.unwrap();
            assert_eq!(raw.as_deref(), Some(&b"\x00\xff"[..]));
            assert_eq!(session.get::<u8>("nothing").await.unwrap(), None);
            assert!(session.exists().await.unwrap());
            let id = session.id().await.unwrap().unwrap().to_string();
            assert!(cookie.contains(&id[..21]), "the public half of the token");
            OK
        })
        .await;
        assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
    })
    .await;
}

#[tokio::test]
async fn reads_see_what_the_handle_has_set() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "a", "old").await;
        visit(&layer, &cookie, "b", "kept").await;
        store.asked();
        request(&layer, &cookie, async |session| {
            session.set("a", "new").unwrap();
            let a: Option<String> = session.get("a").await.unwrap();
            assert_eq!(a.as_deref(), Some("new"));
            assert_eq!(store.asked(), 0, "its own word needs no store");
            session.set("c", "more").unwrap();
            session.remove("b").unwrap();
            let mut fields = session.fields().await.unwrap();
            fields.sort();
            let fields: Vec<_> = fields.iter().map(|(n, v)| (&**n, &v[..])).collect();
            assert_eq!(fields, [("a", &b"\"new\""[..]), ("c", b"\"more\"")]);
            OK
        })
        .await;
        assert_eq!(read(&layer, &cookie, "b").await, None);
        assert_eq!(read(&layer, &cookie, "c").await.as_deref(), Some("more"));
    })
    .await;
}

#[tokio::test]
async fn update_computes_from_what_is_there_and_writes_at_once() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let push = |list: Option<Vec<u32>>| {
            let mut list = list.unwrap_or_default();
            list.push(list.len() as u32);
            Some(list)
        };
        let answer = request(&layer, "", async |session| {
            session.set("along", "yes").unwrap();
            assert_eq!(session.update("list", push).await.unwrap(), Some(vec![0]));
            assert!(session.id().await.unwrap().is_some(), "written");
            assert_eq!(
                session.update("list", push).await.unwrap(),
                Some(vec![0, 1])
            );
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        let cookie = answer.token();
        assert_eq!(read(&layer, &cookie, "along").await.as_deref(), Some("yes"));
        request(&layer, &cookie, async |session| {
            assert_eq!(
                session.update("list", push).await.unwrap(),
                Some(vec![0, 1, 2])
            );
            let list: Option<Vec<u32>> = session.get("list").await.unwrap();
            assert_eq!(list, Some(vec![0, 1, 2]));
            let removed = session.update("list", |_: Option<Vec<u32>>| None).await;
            assert_eq!(removed.unwrap(), None);
            OK
        })
        .await;
        assert_eq!(read(&layer, &cookie, "list").await, None);
    })
    .await;
}

#[tokio::test]
async fn increment_adds_in_the_store_and_carries_earlier_sets() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let answer = request(&layer, "", async |session| {
            session.set("n", &40).unwrap();
            assert_eq!(session.increment("n", 1).await.unwrap(), 41);
            OK
        })
        .await;
        let cookie = answer.token();
        let answer = request(&layer, &cookie, async |session| {
            session.set("along", "yes").unwrap();
            assert_eq!(session.increment("n", 1).await.unwrap(), 42);
            assert_eq!(session.get::<i64>("n").await.unwrap(), Some(42));
            assert_eq!(session.increment("n", -50).await.unwrap(), -8);
            assert_eq!(session.get::<i64>("n").await.unwrap(), Some(-8));
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        assert_eq!(answer.set_cookie(), None);
        assert_eq!(read(&layer, &cookie, "along").await.as_deref(), Some("yes"));
        request(&layer, &cookie, async |session| {
            for (name, by) in [("along", 1), ("n", i64::MAX), ("n", 1 << 53)] {
                let error = session.increment(name, by).await.unwrap_err();
                assert_eq!(error.kind(), SessionErrorKind::NotInteger);
            }
            assert_eq!(session.get::<i64>("n").await.unwrap(), Some(-8));
            OK
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn rotation_changes_the_token_keeps_the_data_and_locks_the_old_one_out() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let old = visit(&layer, "", "user", "ada").await;
        let answer = request(&layer, &old, async |session| {
            session.rotate().unwrap();
            session.set("role", "admin").unwrap();
            OK
        })
        .await;
        let new = answer.token();
        assert_ne!(new, old);
        assert_eq!(read(&layer, &new, "user").await.as_deref(), Some("ada"));
        assert_eq!(read(&layer, &new, "role").await.as_deref(), Some("admin"));
        assert_eq!(read(&layer, &old, "user").await, None);
        let answer = request(&layer, "", async |session| {
            session.rotate().unwrap();
            OK
        })
        .await;
        assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
    })
    .await;
}

#[tokio::test]
async fn destroy_ends_the_session_now_and_takes_the_cookie() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        let cookie = visit(&layer, "", "user", "ada").await;
        let answer = request(&layer, &cookie, async |session| {
            session.set("late", "1").unwrap();
            let id = session.id().await.unwrap().unwrap();
            assert!(session.destroy().await.unwrap());
            assert!(store.load(&id).await.unwrap().is_none());
            assert!(!session.exists().await.unwrap());
            assert_eq!(session.get::<String>("late").await.unwrap(), None);
            StatusCode::INTERNAL_SERVER_ERROR
        })
        .await;
        assert!(answer.is_removal(), "{answer:?}");
        assert_eq!(read(&layer, &cookie, "user").await, None);
        let answer = request(&layer, &cookie, async |session| {
            assert!(!session.destroy().await.unwrap(), "nothing left to end");
            OK
        })
        .await;
        assert_eq!(answer.set_cookie(), None, "a stale cookie is left alone");
    })
    .await;
}

#[tokio::test]
async fn a_set_after_destroy_starts_a_fresh_session() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        let old = visit(&layer, "", "user", "ada").await;
        let answer = request(&layer, &old, async |session| {
            session.destroy().await.unwrap();
            session.set("flash", "bye").unwrap();
            OK
        })
        .await;
        let new = answer.token();
        assert_ne!(new[..30], old[..30], "another public id");
        assert_eq!(read(&layer, &new, "user").await, None);
        assert_eq!(read(&layer, &new, "flash").await.as_deref(), Some("bye"));
    })
    .await;
}

#[tokio::test]
async fn removals_alone_make_no_session() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store.clone());
        for cookie in ["", "__Host-session=1AAAA"] {
            let answer = request(&layer, cookie, async |session| {
                session.remove("a").unwrap();
                session.remove("").unwrap();
                OK
            })
            .await;
            assert_eq!(answer.set_cookie(), None);
        }
        assert_eq!(store.asked(), 0);
    })
    .await;
}

#[tokio::test]
async fn names_and_values_that_cannot_be_are_refused_at_once() {
    let store = Store::memory();
    let limits = SessionLimits::new(10, 100).unwrap();
    let layer = SessionLayer::new(store.clone()).with_limits(limits);
    let megabyte = "n".repeat(1 << 20);
    let answer = request(&layer, "", async |session| {
        for name in ["", "\0reserved", &"n".repeat(129), &megabyte] {
            let kind = SessionErrorKind::InvalidName;
            assert_eq!(session.set(name, "v").unwrap_err().kind(), kind);
            assert_eq!(session.increment(name, 1).await.unwrap_err().kind(), kind);
            let update = session.update(name, |v: Option<u8>| v).await;
            assert_eq!(update.unwrap_err().kind(), kind);
            assert_eq!(session.get::<String>(name).await.unwrap(), None);
        }
        let error = session.set("a", "123456789").unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::TooLarge);
        let update = session.update("a", |_: Option<String>| Some("x".repeat(9)));
        assert_eq!(update.await.unwrap_err().kind(), SessionErrorKind::TooLarge);
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        let error = session.set("a", &map).unwrap_err();
        assert_eq!(error.kind(), SessionErrorKind::Encode);
        OK
    })
    .await;
    assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
    assert_eq!(store.asked(), 0);
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_and_stays() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store).with_undecodable(Undecodable::Error);
        let cookie = visit(&layer, "", "a", "text").await;
        request(&layer, &cookie, async |session| {
            let error = session.get::<u64>("a").await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Decode);
            let error = session.update("a", |n: Option<u64>| n).await.unwrap_err();
            assert_eq!(error.kind(), SessionErrorKind::Decode);
            OK
        })
        .await;
        assert_eq!(read(&layer, &cookie, "a").await.as_deref(), Some("text"));
    })
    .await;
}
