//! The line of one process for one key, whose claims come and go on several threads.
//!
//! Redis is a model that answers at once; leases do not end. Every message is heard, by whichever thread
//! had it published: an ear that is closed too early is for the explorer beside `cohorts.rs` to find.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use loom::future::block_on;
use loom::thread;
use tokio::time::advance;

use redis::RIVAL;
use world::{MAX, World, claim, key};

use crate::explore_with;
use crate::lock::cohort::words::Arrival;
use crate::lock::lease::Owner;
use crate::notify::unpoisoned;

#[path = "line/redis.rs"]
mod redis;
#[path = "line/world.rs"]
mod world;

const LEASE: Duration = Duration::from_secs(3_600);

/// Runs `work` in every way, on a clock that stands still but for what `work` lets pass.
fn explore_line(switches: usize, work: impl Fn(Arc<World>) + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // Its clock, on the one thread that all of loom's run on.
    let _clock = runtime.enter();
    explore_with(switches, move || work(Arc::new(World::default())));
}

/// A grant can be passed on once for each microsecond that it is old.
fn some_time_passes() {
    passes(Duration::from_millis(1));
}

fn passes(time: Duration) {
    let advance = pin!(advance(time));
    let _ = advance.poll(&mut Context::from_waker(Waker::noop()));
}

async fn use_it(world: &Arc<World>, number: u8) {
    let claim = world.acquire(number).await;
    some_time_passes();
    world.let_go(&claim);
}

fn spawn_user(world: &Arc<World>, number: u8) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || block_on(use_it(&world, number)))
}

/// It is passed the key, or gets it with the release, or asks anew.
pub fn who_comes_while_the_key_is_let_go_is_served() {
    explore_line(3, |world| {
        let first = block_on(world.acquire(1));
        some_time_passes();
        let other = spawn_user(&world, 2);
        world.let_go(&first);
        other.join().unwrap();
        world.is_over();
    });
}

/// Whoever asks for the line rests as long as a claim asks for itself, and is told when that fails.
pub fn who_waits_behind_one_that_asked_in_vain_is_served() {
    explore_line(3, |world| {
        let first = claim(1);
        let arrival = world.cohorts.arrive(&first, true, MAX);
        assert!(matches!(arrival, Arrival::Ask), "{arrival:?}");
        let other = spawn_user(&world, 2);
        world.cohorts.asked_in_vain(&first);
        other.join().unwrap();
        world.is_over();
    });
}

/// A runtime ends, and drops whoever asks for the line before that has begun, while the claim that asked
/// for itself fails: somebody who waits in another runtime finds that it is up to the line, and to it.
pub fn a_line_whose_driver_is_dropped_finds_another_one() {
    explore_line(2, |world| {
        let first = claim(1);
        let arrival = world.cohorts.arrive(&first, true, MAX);
        assert!(matches!(arrival, Arrival::Ask), "{arrival:?}");
        let arrival = world.cohorts.arrive(&claim(2), true, MAX);
        let Arrival::Wait(mut place) = arrival else {
            panic!("{arrival:?}");
        };
        assert!(place.drive, "it is the first to wait");
        let ends = {
            let world = world.clone();
            thread::spawn(move || world.cohorts.orphan(&key()))
        };
        let fails = {
            let world = world.clone();
            thread::spawn(move || world.cohorts.asked_in_vain(&first))
        };
        block_on(world.turn(&mut place));
        world.let_go(&claim(2));
        ends.join().unwrap();
        fails.join().unwrap();
        world.is_over();
    });
}

/// A client goes away while the key is let go, and takes nothing along.
pub fn who_leaves_the_line_while_it_is_served_leaves_nothing() {
    explore_line(3, |world| {
        let first = block_on(world.acquire(1));
        some_time_passes();
        let goes = {
            let world = world.clone();
            thread::spawn(move || {
                let claim = claim(2);
                match world.cohorts.arrive(&claim, true, MAX) {
                    Arrival::Ask => world.cohorts.asked_in_vain(&claim),
                    Arrival::Wait(place) => {
                        if place.drive {
                            world.spawn_driver();
                        }
                        drop(place);
                        world.let_go(&claim);
                    }
                    other => panic!("{other:?}"),
                }
            })
        };
        world.let_go(&first);
        goes.join().unwrap();
        world.is_over();
    });
}

/// Another process's word is heard while the key is granted or held here: it is next when its time has
/// come, and who waits here is served after it, though nobody but a message says so.
pub fn a_rival_is_next_once_it_is_heard_of_and_the_line_is_served_after_it() {
    explore_line(2, |world| {
        let first = block_on(world.acquire(1));
        let mut second = world.stand_in_line(2);
        let mut third = world.stand_in_line(3);
        let rival = {
            let world = world.clone();
            thread::spawn(move || block_on(world.rival()))
        };
        // No time has passed, so it goes back to Redis; what comes from there is not limited by itself.
        world.let_go(&first);
        block_on(world.turn(&mut second));
        let (second, third_owner) = (claim(2), claim(3).owner);
        world.now_held(second.owner);
        let heard_of = *unpoisoned(world.wanted.lock()) == Some(second.owner);
        passes(Duration::from_millis(60));
        world.let_go(&second);
        block_on(world.turn(&mut third));
        world.now_held(third_owner);
        world.let_go(&claim(3));
        rival.join().unwrap();
        let order = unpoisoned(world.order.lock()).clone();
        let at = |who: Owner| order.iter().position(|holder| *holder == who);
        let in_between = at(Owner::from_bytes(RIVAL)) < at(third_owner);
        assert!(in_between || !heard_of, "{order:?}");
        world.is_over();
    });
}

/// Nobody gets in line again whom no message would reach: whoever asks for the line is told, and asks.
pub fn who_waits_is_asked_for_where_no_message_would_reach_it() {
    explore_line(3, |world| {
        let world = Arc::into_inner(world).expect("it is new");
        let world = Arc::new(world.deaf());
        let first = block_on(world.acquire(1));
        let other = spawn_user(&world, 2);
        world.let_go(&first);
        other.join().unwrap();
        world.is_over();
    });
}
