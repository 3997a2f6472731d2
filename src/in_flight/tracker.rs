//! Counts what runs, knows each of it, and waits until nothing does.
//!
//! Floor 3.

use std::sync::PoisonError;
use std::{fmt, pin::pin};

use super::sync::{AtomicU64, AtomicUsize, Mutex, MutexGuard, Notify, SeqCst, own_number};
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
/// Each shard counts who entered and who left, both only ever growing. `left` is read first, of all
/// shards: if `entered`, read later, comes to the same, everybody who had entered by the time between
/// had left. Shard by shard it would not do: work that is handed on may enter a shard that was read
/// and leave one that was not.
pub(crate) struct Tracker<T: 'static> {
    /// A power of two of them.
    shards: &'static [Shard<T>],
    waiters: &'static Waiters,
}

struct Waiters {
    /// How many wait for zero. Read at every departure, written only by them.
    count: AtomicUsize,
    departed: Notify,
}

impl Waiters {
    #[cold]
    fn wake(&self) {
        self.departed.notify_waiters();
    }
}

/// On cache lines of its own: threads that count in different shards never meet.
#[repr(align(128))]
struct Shard<T> {
    entered: AtomicU64,
    left: AtomicU64,
    listed: Mutex<Slab<T>>,
    /// Here as well, so that all a token needs is on its shard's lines.
    waiters: &'static Waiters,
}

impl<T> Shard<T> {
    fn listed(&self) -> MutexGuard<'_, Slab<T>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Out of line, and not given the token, so that who only counts does not carry them through
    // every frame that holds a token, and the token can stay in registers.

    #[inline(never)]
    fn update(&self, place: u32, change: impl FnOnce(&mut T)) {
        if let Some(entry) = self.listed().get_mut(place) {
            change(entry);
        }
    }

    #[inline(never)]
    fn unlist(&self, place: u32) {
        let entry = self.listed().remove(place);
        // Dropped after the lock is free: it may hold the last piece of a large request.
        drop(entry);
    }
}

impl<T: Send + 'static> Tracker<T> {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_shards(threads.min(64))
    }

    /// With at least that many shards.
    pub(crate) fn with_shards(least: usize) -> Self {
        let waiters: &Waiters = Box::leak(Box::new(Waiters {
            count: AtomicUsize::new(0),
            departed: Notify::new(),
        }));
        let shard = |_| Shard {
            entered: AtomicU64::new(0),
            left: AtomicU64::new(0),
            listed: Mutex::new(Slab::new()),
            waiters,
        };
        let shards: Box<[_]> = (0..least.next_power_of_two()).map(shard).collect();
        Self {
            shards: Box::leak(shards),
            waiters,
        }
    }

    /// Counts, without an entry in the list.
    #[inline]
    pub(crate) fn enter(self) -> Token<T> {
        let shard = &self.shards[own_number() & (self.shards.len() - 1)];
        shard.entered.fetch_add(1, SeqCst);
        Token {
            shard,
            place: UNLISTED,
        }
    }

    /// Counts, and lists `entry` until the token is dropped.
    pub(crate) fn enter_as(self, entry: T) -> Token<T> {
        let mut token = self.enter();
        let place = token.shard.listed().insert(entry);
        token.place = place.unwrap_or(UNLISTED);
        token
    }

    /// How many have entered and not left. Exact when nobody enters or leaves meanwhile.
    pub(crate) fn count(self) -> u64 {
        let left = self.left();
        let entered = |shard: &Shard<T>| shard.entered.load(SeqCst);
        let entered: u64 = self.shards.iter().map(entered).sum();
        entered.saturating_sub(left)
    }

    /// How many have left, ever.
    pub(crate) fn left(self) -> u64 {
        let left = |shard: &Shard<T>| shard.left.load(SeqCst);
        self.shards.iter().map(left).sum()
    }

    pub(crate) fn is_idle(self) -> bool {
        self.count() == 0
    }

    /// Waits until the count is zero: at once if it is zero now, whatever it was before.
    ///
    /// May be dropped at any time.
    pub(crate) async fn idle(self) {
        // Said before the count is read. A token says that it left before it asks whether
        // somebody waits. So either this reads the departure, or the token sees this and wakes it.
        let _waiting = Waiting::new(&self.waiters.count);
        let mut departed = pin!(self.waiters.departed.notified());
        loop {
            departed.as_mut().enable();
            if self.is_idle() {
                return;
            }
            departed.as_mut().await;
            departed.set(self.waiters.departed.notified());
        }
    }

    /// What `view` makes of every listed entry, shard by shard.
    pub(crate) fn list<V>(self, view: impl Fn(&T) -> V) -> Vec<V> {
        let mut views = Vec::new();
        for shard in self.shards {
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
    shard: &'static Shard<T>,
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
    #[inline]
    pub(crate) fn is_listed(&self) -> bool {
        self.place != UNLISTED
    }

    /// Changes the token's entry, if it has one.
    #[inline]
    pub(crate) fn update(&self, change: impl FnOnce(&mut T)) {
        if self.is_listed() {
            self.shard.update(self.place, change);
        }
    }
}

impl<T> Drop for Token<T> {
    #[inline]
    fn drop(&mut self) {
        if self.is_listed() {
            self.shard.unlist(self.place);
        }
        self.shard.left.fetch_add(1, SeqCst);
        let waiters = self.shard.waiters;
        if waiters.count.load(SeqCst) > 0 {
            waiters.wake();
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
