//! What the library uses of tokio's `oneshot`, which has a model of its own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::sync::{Mutex, MutexGuard};

use crate::notify::unpoisoned;

struct State<T> {
    value: Option<T>,
    /// The sender has sent, or is gone.
    sent: bool,
    closed: bool,
    waker: Option<Waker>,
}

pub(crate) struct Sender<T>(Arc<Mutex<State<T>>>);

pub(crate) struct Receiver<T>(Arc<Mutex<State<T>>>);

/// The sender is gone without a word.
#[derive(Debug)]
pub(crate) struct RecvError;

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = Arc::new(Mutex::new(State {
        value: None,
        sent: false,
        closed: false,
        waker: None,
    }));
    (Sender(state.clone()), Receiver(state))
}

fn state<T>(of: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    unpoisoned(of.lock())
}

impl<T> Sender<T> {
    pub(crate) fn is_closed(&self) -> bool {
        state(&self.0).closed
    }

    pub(crate) fn send(self, value: T) -> Result<(), T> {
        let mut state = state(&self.0);
        if state.closed {
            return Err(value);
        }
        state.value = Some(value);
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = state(&self.0);
        state.sent = true;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = state(&self.0);
        match state.value.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None if state.sent => Poll::Ready(Err(RecvError)),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        state(&self.0).closed = true;
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
