//! Counts what runs, knows each of it, and waits until nothing does.
//!
//! Floor 3.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fmt, pin::pin};

use tokio::sync::Notify;

use crate::in_flight::slab::Slab;

/// A sharded count of tokens, and a list of what some of them stand for.
///
/// The shards are leaked on purpose: a token is then two words without a reference count, and
/// a reference count shared by all threads would cost several times what the counting costs.
/// A process makes a handful of trackers and keeps them to its end.
///
/// # Why zero means zero
/// A request is counted before it reads the phase; the drainer sets the phase before it reads
/// the counts. All four are `SeqCst`, so they have one order: if the drainer's read of a shard
/// misses a request's increment, the increment comes later than that read, hence later than
/// the phase was set, and the request, which reads the phase later still, sees `Draining` and
/// is turned away. Whoever is let in is seen.
///
/// Each shard counts who entered and who left, both only ever growing. `left` is read first: if
/// `entered`, read later, is the same, everybody who had entered by then had left before.
pub(crate) struct Tracker<T: 'static> {
    inner: &'static Inner<T>,
}

struct Inner<T> {
    shards: Box<[Shard<T>]>,
    /// How many wait for zero. Read at every departure, written only by them.
    waiting: AtomicUsize,
    departed: Notify,
}

/// On cache lines of its own: threads that count in different shards never meet.
#[repr(align(128))]
struct Shard<T> {
    entered: AtomicU64,
    left: AtomicU64,
    listed: Mutex<Slab<T>>,
}

impl<T> Shard<T> {
    fn listed(&self) -> MutexGuard<'_, Slab<T>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> u64 {
        let left = self.left.load(SeqCst);
        self.entered.load(SeqCst).saturating_sub(left)
    }
}

impl<T: Send + 'static> Tracker<T> {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = threads.next_power_of_two().min(64);
        let shard = |_| Shard {
            entered: AtomicU64::new(0),
            left: AtomicU64::new(0),
            listed: Mutex::new(Slab::new()),
        };
        let inner = Inner {
            shards: (0..shards).map(shard).collect(),
            waiting: AtomicUsize::new(0),
            departed: Notify::new(),
        };
        Self {
            inner: Box::leak(Box::new(inner)),
        }
    }

    /// Counts, without an entry in the list.
    pub(crate) fn enter(self) -> Token<T> {
        let shard = own_shard() & (self.inner.shards.len() - 1);
        let token = Token {
            inner: self.inner,
            shard: shard as u32,
            place: UNLISTED,
        };
        token.shard().entered.fetch_add(1, SeqCst);
        token
    }

    /// Counts, and lists `entry` until the token is dropped.
    pub(crate) fn enter_as(self, entry: T) -> Token<T> {
        let mut token = self.enter();
        let place = token.shard().listed().insert(entry);
        token.place = place.unwrap_or(UNLISTED);
        token
    }

    /// How many have entered and not left. Exact when nobody enters or leaves meanwhile.
    pub(crate) fn count(self) -> u64 {
        self.inner.shards.iter().map(Shard::count).sum()
    }

    /// How many have left, ever.
    pub(crate) fn left(self) -> u64 {
        let left = |shard: &Shard<T>| shard.left.load(SeqCst);
        self.inner.shards.iter().map(left).sum()
    }

    pub(crate) fn is_idle(self) -> bool {
        self.inner.shards.iter().all(|shard| shard.count() == 0)
    }

    /// Waits until the count is zero: at once if it is zero now, whatever it was before.
    ///
    /// May be dropped at any time.
    pub(crate) async fn idle(self) {
        // Said before the count is read. A token says that it left before it asks whether
        // somebody waits. So either this reads the departure, or the token sees this and wakes it.
        let _waiting = Waiting::new(&self.inner.waiting);
        let mut departed = pin!(self.inner.departed.notified());
        loop {
            departed.as_mut().enable();
            if self.is_idle() {
                return;
            }
            departed.as_mut().await;
            departed.set(self.inner.departed.notified());
        }
    }

    /// What `view` makes of every listed entry, shard by shard.
    pub(crate) fn list<V>(self, view: impl Fn(&T) -> V) -> Vec<V> {
        let mut views = Vec::new();
        for shard in &self.inner.shards {
            views.extend(shard.listed().iter().map(&view));
        }
        views
    }
}

impl<T> Clone for Tracker<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Tracker<T> {}

impl<T: Send + 'static> fmt::Debug for Tracker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

/// One that has entered; dropping it is leaving.
pub(crate) struct Token<T: 'static> {
    inner: &'static Inner<T>,
    shard: u32,
    place: u32,
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// The place of a token without an entry.
const UNLISTED: u32 = u32::MAX;

impl<T> Token<T> {
    fn shard(&self) -> &'static Shard<T> {
        // The index was masked with the number of shards.
        &self.inner.shards[self.shard as usize]
    }

    /// Changes the token's entry, if it has one.
    pub(crate) fn update(&self, change: impl FnOnce(&mut T)) {
        if self.place != UNLISTED
            && let Some(entry) = self.shard().listed().get_mut(self.place)
        {
            change(entry);
        }
    }
}

impl<T> Drop for Token<T> {
    fn drop(&mut self) {
        let shard = self.shard();
        if self.place != UNLISTED {
            let entry = shard.listed().remove(self.place);
            // Dropped after the lock is free: it may hold the last piece of a large request.
            drop(entry);
        }
        shard.left.fetch_add(1, SeqCst);
        if self.inner.waiting.load(SeqCst) > 0 {
            self.inner.departed.notify_waiters();
        }
    }
}

/// One more who waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// A number that belongs to this thread, handed out in turn.
fn own_shard() -> usize {
    const NONE_YET: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(NONE_YET) };
    }
    OWN.with(|own| {
        if own.get() == NONE_YET {
            own.set(NEXT.fetch_add(1, SeqCst));
        }
        own.get()
    })
}
