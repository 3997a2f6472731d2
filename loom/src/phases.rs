//! The phase, moved on by one thread while another waits for that.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use loom::future::block_on;
use loom::thread::{self, JoinHandle};

use super::finish::time::DrainTime;
use super::phase::Phase;
use super::watch::{PhaseControl, PhaseWatch};
use crate::explore;

/// Runs `waits` in every way while another thread goes to the drain. A change that it misses is a
/// deadlock, which loom reports.
fn while_drain_begins(waits: impl Fn(PhaseWatch) + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // Its clock, on the one thread that all of loom's run on.
    let _clock = runtime.enter();
    explore(move || {
        let phases = PhaseControl::new();
        let goes = goes_to(phases, &[Phase::Settling, Phase::Draining]);
        waits(phases.watch());
        assert_eq!(goes.join().unwrap(), 2);
    });
}

/// How often it was this thread that moved it on.
fn goes_to(phases: PhaseControl, to: &'static [Phase]) -> JoinHandle<usize> {
    thread::spawn(move || to.iter().filter(|phase| phases.advanced(**phase)).count())
}

pub fn who_waits_for_a_phase_hears_of_it() {
    while_drain_begins(|watch| {
        block_on(watch.reached(Phase::Draining));
        assert_eq!(watch.current(), Phase::Draining);
        assert!(watch.draining_since().is_some(), "noted before");
    });
}

/// A signal asks for the shutdown while it begins by itself, and is over.
pub fn a_phase_never_goes_back_whoever_moves_it() {
    explore(|| {
        let phases = PhaseControl::new();
        let watch = phases.watch();
        let threads = [
            goes_to(phases, &[Phase::Settling]),
            goes_to(phases, &[Phase::Settling, Phase::Stopped]),
        ];
        block_on(watch.reached(Phase::Settling));
        let seen = watch.current();
        block_on(watch.reached(Phase::Stopped));
        assert!(Phase::Settling <= seen && seen <= watch.current());
        let moved: usize = threads.map(|thread| thread.join().unwrap()).iter().sum();
        assert_eq!(moved, 2, "each phase began once");
    });
}

pub fn a_stream_ends_when_draining_begins() {
    while_drain_begins(|watch| {
        let mut stream = pin!(watch.until_drain(Silent { told: false }));
        assert_eq!(block_on(poll_fn(|cx| stream.as_mut().poll_next(cx))), None);
    });
}

pub fn a_socket_says_goodbye_when_draining_begins() {
    while_drain_begins(|watch| {
        let socket = Silent { told: false };
        let mut socket = pin!(watch.close_at_drain(socket, "bye", Duration::from_secs(1)));
        assert!(block_on(poll_fn(|cx| socket.as_mut().poll_next(cx))).is_none());
    });
}

pub fn a_time_begins_with_the_drain() {
    while_drain_begins(|watch| {
        block_on(DrainTime::new(watch, Duration::ZERO));
        assert_eq!(watch.current(), Phase::Draining);
    });
}

/// A peer that says nothing until it is told goodbye, and hangs up then.
struct Silent {
    told: bool,
}

type Message = Result<&'static str, ()>;

impl Stream for Silent {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Message>> {
        match self.told {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}

impl Sink<&'static str> for Silent {
    type Error = ();

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, _: &'static str) -> Result<(), ()> {
        self.told = true;
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), ()>> {
        Poll::Ready(Ok(()))
    }
}
