//! Absurd times: what each face says of them, and what the port makes of a wait without end.

use std::time::Duration;

use http::StatusCode;
use tower_handoff::ConfigError;
use tower_handoff::lock::{
    Acquired, Claim, LeaseTime, LockBackend, LockKey, LockLayer, Locks, MemoryLocks,
};
use tower_handoff::once::{MemoryOnce, Once};

use super::rig::{fencing, layer, ms, on_both, request};

on_both!(a_wait_without_end_is_a_wait);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The longest time there is, as an error shows it.
const MAX: &str = "18446744073709551615.999999999s";

fn says<T>(result: Result<T, ConfigError>, option: &str, value: &str, accepted: &str) {
    let error = result.err().expect("it is refused");
    assert_eq!(error.option(), option);
    let text = format!("{option} is {value:?}; accepted: {accepted}");
    assert_eq!(error.to_string(), text);
}

fn locks() -> Locks {
    Locks::new(MemoryLocks::new())
}

fn guard() -> LockLayer {
    LockLayer::new(MemoryLocks::new(), LockKey::new("k").unwrap())
}

fn once() -> Once {
    Once::new(MemoryOnce::new())
}

#[test]
fn absurd_times_are_refused_with_the_option_the_value_and_what_is_accepted() {
    let over_a_day = DAY + Duration::from_nanos(1);
    for (time, shown) in [
        (Duration::ZERO, "0ns"),
        (ms(99), "99ms"),
        (over_a_day, "86400.000000001s"),
        (Duration::MAX, MAX),
    ] {
        let accepted = "100 ms to 24 h";
        says(LeaseTime::new(time), "lease", shown, accepted);
        says(locks().with_lease(time), "lease", shown, accepted);
        says(guard().with_lease(time), "lease", shown, accepted);
        says(once().with_lease(time), "lease", shown, accepted);
        says(locks().with_max_hold(time), "max_hold", shown, accepted);
        says(guard().with_max_hold(time), "max_hold", shown, accepted);
    }
    for (time, shown) in [
        (Duration::ZERO, "0ns"),
        (TEN_MINUTES + Duration::from_nanos(1), "600.000000001s"),
        (Duration::MAX, MAX),
    ] {
        let accepted = "more than zero, at most 10 min";
        let or = |instead: &str| format!("{accepted}; `{instead}` does not wait");
        says(locks().with_wait(time), "wait", shown, &or("try_acquire"));
        says(guard().with_wait(time), "wait", shown, &or("with_try"));
        says(once().with_wait(time), "wait", shown, accepted);
    }
}

#[test]
fn the_ends_of_each_range_are_in_it() {
    for time in [ms(100), DAY] {
        assert!(locks().with_lease(time).is_ok() && locks().with_max_hold(time).is_ok());
        assert!(guard().with_lease(time).is_ok() && guard().with_max_hold(time).is_ok());
        assert!(once().with_lease(time).is_ok());
    }
    for time in [Duration::from_nanos(1), TEN_MINUTES] {
        assert!(locks().with_wait(time).is_ok() && guard().with_wait(time).is_ok());
        assert!(once().with_wait(time).is_ok());
    }
}

/// The port takes what it is given, and a request's wish is no configuration: neither panics, and
/// both end with the holder.
async fn a_wait_without_end_is_a_wait(locks: impl LockBackend + Clone) {
    let claim = || Claim::new(LockKey::new("x-lock:a").unwrap(), LeaseTime::DEFAULT);
    let (holder, waiter) = (claim(), claim());
    let held = locks.acquire(&holder, None).await;
    assert!(matches!(held, Ok(Acquired::Granted(_))), "{held:?}");
    let endless = layer(&locks).with_wait_from(|_| Some(Duration::MAX));
    let service = fencing(&endless);
    let request = tower::ServiceExt::oneshot(service, request("a"));
    let waits = async {
        let granted = locks.acquire(&waiter, Some(Duration::MAX)).await;
        assert!(matches!(granted, Ok(Acquired::Granted(_))), "{granted:?}");
        locks.release(&waiter).await.unwrap();
    };
    let lets_go = async {
        tokio::time::sleep(ms(50)).await;
        locks.release(&holder).await.unwrap();
    };
    let (answer, (), ()) = futures_util::future::join3(request, waits, lets_go).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
}
