//! The tracker of requests in flight and a drain.

#[path = "../../src/in_flight/slab.rs"]
mod slab;
mod sync;
#[path = "../../src/in_flight/tracker.rs"]
mod tracker;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::thread;

use crate::explore;
use sync::{AtomicUsize, SeqCst, use_number};
use tracker::Tracker;

/// Whether it is ready without waiting.
fn at_once(future: impl Future<Output = ()>) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

#[test]
fn no_departure_is_missed_by_who_waits() {
    explore(|| {
        let tracker = Tracker::<()>::with_shards(2);
        let tokens = [0, 1].map(|number| {
            use_number(number);
            tracker.enter()
        });
        let leaving = tokens.map(|token| thread::spawn(move || drop(token)));
        // A wake-up that is lost is a deadlock, which loom reports.
        block_on(tracker.idle());
        assert_eq!((tracker.count(), tracker.left()), (0, 2));
        for thread in leaving {
            thread.join().unwrap();
        }
    });
}

#[test]
fn who_is_let_in_is_waited_for() {
    explore(|| {
        let tracker = Tracker::<()>::with_shards(2);
        let draining = Arc::new(AtomicUsize::new(0));
        let drained = Arc::new(AtomicUsize::new(0));
        let requests = [0, 1].map(|number| {
            let (draining, drained) = (draining.clone(), drained.clone());
            thread::spawn(move || {
                use_number(number);
                let token = tracker.enter();
                if draining.load(SeqCst) == 0 {
                    // The handler.
                    assert_eq!(drained.load(SeqCst), 0, "zero was seen before its end");
                }
                drop(token);
            })
        });
        draining.fetch_add(1, SeqCst);
        block_on(tracker.idle());
        drained.fetch_add(1, SeqCst);
        for thread in requests {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_zero_that_was_is_no_zero_now() {
    explore(|| {
        let tracker = Tracker::<()>::with_shards(2);
        assert!(at_once(tracker.idle()));
        let first = tracker.enter();
        let leaving = thread::spawn(move || drop(first));
        let second = tracker.enter();
        assert!(!at_once(tracker.idle()));
        leaving.join().unwrap();
        assert!(!at_once(tracker.idle()));
        drop(second);
        assert!(at_once(tracker.idle()));
    });
}

/// From either shard to the other: one of them is read first.
#[test]
fn work_that_is_handed_on_is_never_zero() {
    for (parent, child) in [(0, 1), (1, 0), (0, 0)] {
        explore(move || {
            let tracker = Tracker::<()>::with_shards(2);
            use_number(parent);
            let first = tracker.enter();
            let handing_on = thread::spawn(move || {
                use_number(child);
                let second = tracker.enter();
                drop(first);
                second
            });
            assert!(!tracker.is_idle());
            drop(handing_on.join().unwrap());
            assert!(tracker.is_idle());
        });
    }
}

/// The list of wakers of `src/lifecycle/connections.rs`, by which connections hear that they are cut
/// off: a stream leaves its waker and asks then, and a cut is said before the list is read.
#[test]
fn who_is_cut_off_is_woken_or_sees_it() {
    explore(|| {
        let wakers = Tracker::<Arc<AtomicUsize>>::with_shards(2);
        let cut = Arc::new(AtomicUsize::new(0));
        let streams = [0, 1].map(|number| {
            let (cut, woken) = (cut.clone(), Arc::new(AtomicUsize::new(0)));
            thread::spawn(move || {
                use_number(number);
                let token = wakers.enter_as(woken.clone());
                let seen = cut.load(SeqCst) > 0;
                (token, woken, seen)
            })
        });
        cut.fetch_add(1, SeqCst);
        for woken in wakers.list(Arc::clone) {
            woken.fetch_add(1, SeqCst);
        }
        for stream in streams {
            let (_token, woken, seen) = stream.join().unwrap();
            assert!(seen || woken.load(SeqCst) > 0, "it sleeps for ever");
        }
    });
}
