//! What is kept of a job, and what cannot be.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tower_handoff::once::{MemoryOnce, Once, OnceError, OnceStore, Outcome};

use super::rig::{Count, Fleet, comes_free, job, ms, on_both};

on_both!(
    a_result_is_what_it_was,
    a_result_that_is_too_large_is_not_kept,
    a_result_without_json_is_not_kept,
    a_result_of_another_type_is_an_error_and_stays,
);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rates {
    at: u64,
    by_name: BTreeMap<String, f64>,
    none: Option<()>,
}

async fn a_result_is_what_it_was<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let rates = Rates {
        at: u64::MAX,
        by_name: BTreeMap::from([("\u{e9}\0".to_owned(), 0.1 + 0.2)]),
        none: None,
    };
    let work = |_| async { Ok::<_, Infallible>(rates.clone()) };
    let ran = fleet.a.run(&job("rates"), work).await.unwrap();
    assert_eq!(ran, Outcome::Ran(rates.clone()));
    let fresh = fleet.b.run(&job("rates"), work).await.unwrap();
    assert_eq!(fresh, Outcome::Fresh(rates.clone()));

    let all: Bytes = (0..=255).collect();
    for (name, bytes) in [("all", all), ("none", Bytes::new())] {
        let work = |_| async { Ok::<_, Infallible>(bytes.clone()) };
        let ran = fleet.a.run_bytes(&job(name), work).await.unwrap();
        assert_eq!(ran, Outcome::Ran(bytes.clone()));
        let fresh = fleet.b.run_bytes(&job(name), work).await.unwrap();
        assert_eq!(fresh, Outcome::Fresh(bytes.clone()));
    }
}

async fn a_result_that_is_too_large_is_not_kept<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let small = fleet.a.clone().with_max_bytes(10).unwrap();
    let bytes = |size| move |_| async move { Ok::<_, Infallible>(Bytes::from(vec![7; size])) };
    let error = small.run_bytes(&job("x"), bytes(11)).await.unwrap_err();
    assert!(matches!(error, OnceError::TooLarge { bytes: 11, max: 10 }));
    let text = error.to_string();
    assert!(text.contains("11") && text.contains("at most 10"), "{text}");
    // It is free again, and what fits is kept.
    let mut ran = Outcome::Skipped { by: None };
    while matches!(ran, Outcome::Skipped { .. }) {
        ran = small.run_bytes(&job("x"), bytes(10)).await.unwrap();
    }
    assert!(matches!(ran, Outcome::Ran(_)));
}

async fn a_result_without_json_is_not_kept<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let odd = BTreeMap::from([(vec![1], 2)]);
    let work = |_| async { Ok::<_, Infallible>(odd.clone()) };
    let error = fleet.a.run(&job("x"), work).await.unwrap_err();
    assert!(matches!(error, OnceError::Unencodable(_)), "{error:?}");
    comes_free(&fleet.b, &job("x")).await;
}

async fn a_result_of_another_type_is_an_error_and_stays<S: OnceStore + Clone>(fleet: Fleet<S>) {
    let (count, secret) = (Count::default(), "a secret".to_owned());
    let work = |_| async { Ok::<_, Infallible>(secret.clone()) };
    fleet.a.run(&job("x"), work).await.unwrap();
    let other = |_| async { Ok::<_, Infallible>(count.add()) };
    let error = fleet.b.run(&job("x"), other).await.unwrap_err();
    assert!(matches!(error, OnceError::Undecodable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!(count.get(), 0);
    let fresh = fleet.b.run(&job("x"), work).await.unwrap();
    assert_eq!(fresh, Outcome::Fresh(secret));
}

#[test]
fn what_is_wrong_is_named() {
    let once = || Once::new(MemoryOnce::new());
    for (error, option) in [
        (once().with_instance_id("").unwrap_err(), "instance_id"),
        (once().with_instance_id("a b").unwrap_err(), "instance_id"),
        (once().with_lease(ms(99)).unwrap_err(), "lease"),
        (once().with_wait(ms(0)).unwrap_err(), "wait"),
        (once().with_wait(ms(600_001)).unwrap_err(), "wait"),
        (once().with_max_bytes(0).unwrap_err(), "max_bytes"),
        (
            once().with_max_bytes(16 * 1024 * 1024 + 1).unwrap_err(),
            "max_bytes",
        ),
    ] {
        assert_eq!(error.option(), option, "{error}");
    }
}

/// A result that says when it is gone.
struct Live(#[expect(dead_code, reason = "counted")] Arc<()>);

impl AsRef<[u8]> for Live {
    fn as_ref(&self) -> &[u8] {
        b"x"
    }
}

#[tokio::test(start_paused = true)]
async fn memory_forgets_what_is_over() {
    let once = Once::new(MemoryOnce::new());
    let live = Arc::new(());
    for number in 0..10_000 {
        let brief = super::rig::fresh_for(&number.to_string(), ms(10));
        let work = |_| async { Ok::<_, Infallible>(Bytes::from_owner(Live(live.clone()))) };
        let ran = once.run_bytes(&brief, work).await.unwrap();
        assert!(matches!(ran, Outcome::Ran(_)));
        tokio::time::advance(ms(1)).await;
    }
    assert!(Arc::strong_count(&live) < 3_000);
}
