//! What `held.rs` has for the renewals, of loom's making: one lock that is held, with homes of which
//! one may end; and those homes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::sync::{Mutex, MutexGuard};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::notify::unpoisoned;

pub(crate) const AT_ONCE: usize = 1;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A runtime: takes tasks, until it ends and drops them.
#[derive(Clone)]
pub(crate) struct Home {
    id: usize,
    /// None where it has ended.
    tasks: Arc<Mutex<Option<Vec<Task>>>>,
}

impl Home {
    fn new(id: usize) -> Self {
        let tasks = Arc::new(Mutex::new(Some(Vec::new())));
        Self { id, tasks }
    }

    pub(crate) fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = unpoisoned(self.tasks.lock());
        match &mut *tasks {
            Some(tasks) => tasks.push(Box::pin(task)),
            None => {
                drop(tasks);
                drop(task);
            }
        }
    }

    /// What it had, which is dropped by whoever ends it.
    pub(crate) fn end(&self) {
        let tasks = unpoisoned(self.tasks.lock()).take();
        drop(tasks);
    }

    /// Has every task go on as far as it can, and returns how many there were.
    pub(crate) fn run(&self) -> usize {
        let tasks = unpoisoned(self.tasks.lock()).take().unwrap_or_default();
        let count = tasks.len();
        for mut task in tasks {
            let mut context = Context::from_waker(Waker::noop());
            assert!(
                task.as_mut().poll(&mut context).is_ready(),
                "nothing is held"
            );
        }
        count
    }
}

#[derive(Clone)]
pub(crate) struct HeldLocks(Arc<Shared>);

struct Shared {
    /// Whether somebody sees to the renewals.
    looked_after: Mutex<bool>,
    homes: [Home; 2],
}

impl HeldLocks {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            looked_after: Mutex::new(false),
            homes: [0, 1].map(Home::new),
        }))
    }

    pub(crate) fn home(&self, id: usize) -> Home {
        self.0.homes[id].clone()
    }

    /// A lock is taken: whether a renewal task must be started.
    pub(crate) fn add(&self) -> bool {
        !*self.looked_after()
    }

    pub(crate) fn begin_renewals(&self, tried: &[usize]) -> Option<Home> {
        let mut looked_after = self.looked_after();
        if *looked_after {
            return None;
        }
        let mut homes = self.0.homes.iter();
        let home = homes.find(|home| !tried.contains(&home.id()))?.clone();
        *looked_after = true;
        Some(home)
    }

    pub(crate) fn renewals_ended(&self) {
        *self.looked_after() = false;
    }

    pub(crate) fn reconnected(&self) {}

    pub(crate) fn renewals(&self) -> Renewals {
        Renewals::Over
    }

    pub(crate) async fn due_earlier(&self) {}

    fn looked_after(&self) -> MutexGuard<'_, bool> {
        unpoisoned(self.0.looked_after.lock())
    }
}

pub(crate) enum Renewals {
    Over,
    Due(Vec<Lock>),
    At(Instant),
}

pub(crate) struct Lock;

impl Lock {
    pub(crate) fn renew(self, _: Option<OwnedSemaphorePermit>) {}
}
