//! What the library uses of tokio's `Notify`, which has a model of its own: who waits when somebody is
//! told, or a permit for who comes next; and a call that all hear who wait for it by then.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{LockResult, PoisonError};
use std::task::{Context, Poll, Waker};

use loom::sync::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Notify(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    permit: bool,
    calls: usize,
    /// Numbers what waits.
    last: usize,
    waiting: VecDeque<(usize, Waker)>,
    /// Those of them who were told, and have not looked since.
    told: Vec<usize>,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified {
            notify: self,
            calls: self.state().calls,
            place: None,
            over: false,
        }
    }

    pub(crate) fn notify_one(&self) {
        let mut state = self.state();
        let Some((place, waker)) = state.waiting.pop_front() else {
            state.permit = true;
            return;
        };
        state.told.push(place);
        drop(state);
        waker.wake();
    }

    pub(crate) fn notify_waiters(&self) {
        let mut state = self.state();
        state.calls += 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.0.lock())
    }
}

pub(crate) fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(crate) struct Notified<'a> {
    notify: &'a Notify,
    /// How many calls there had been when it was made.
    calls: usize,
    place: Option<usize>,
    over: bool,
}

impl Notified<'_> {
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        self.look(Waker::noop())
    }

    fn look(mut self: Pin<&mut Self>, waker: &Waker) -> bool {
        let (notify, place) = (self.notify, self.place);
        let mut state = notify.state();
        let told = state.told.iter().position(|told| Some(*told) == place);
        if let Some(at) = told {
            state.told.swap_remove(at);
        }
        self.over = self.over
            || told.is_some()
            || state.calls > self.calls
            || place.is_none() && std::mem::take(&mut state.permit);
        state.waiting.retain(|(other, _)| Some(*other) != place);
        if !self.over {
            let place = place.unwrap_or(state.last);
            state.last = state.last.max(place + 1);
            // In the order of their coming.
            let at = state.waiting.partition_point(|(other, _)| *other < place);
            state.waiting.insert(at, (place, waker.clone()));
            self.place = Some(place);
        }
        self.over
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.look(cx.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.filter(|_| !self.over) else {
            return;
        };
        let mut state = self.notify.state();
        state.waiting.retain(|(other, _)| *other != place);
        let told = state.told.iter().position(|told| *told == place);
        let unheard = told.map(|at| state.told.swap_remove(at)).is_some();
        drop(state);
        // What it was told and never looked at is the next one's.
        if unheard {
            self.notify.notify_one();
        }
    }
}
