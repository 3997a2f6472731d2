//! The layer and its options.
//!
//! Floor 6.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, Method};
use tokio::sync::Semaphore;
use tower_layer::Layer;

use crate::answer::Responder;
use crate::config::ConfigError;
use crate::lock::backend::LockBackend;
use crate::lock::key::source::KeyFrom;
use crate::lock::manager::Manager;
use crate::lock::on_lost::OnLost;
use crate::lock::options::{OnMissingKey, OnUnavailable, Options};
use crate::lock::service::LockService;
use crate::lock::terms::{DEFAULT_WAIT, MAX_WAIT, Terms};

/// Lets one request at a time through for each key, over all instances that share the backend.
///
/// The guarded request runs with a [`LockGuard`](crate::lock::LockGuard) in its extensions. The
/// lock is let go when the answer's head is ready, or at the end of a streaming body, and
/// whenever the request ends otherwise: by an error, a panic, a client that went away.
///
/// Requests with safe methods (GET, HEAD, OPTIONS, TRACE) pass unguarded unless
/// [`with_methods`](Self::with_methods) says otherwise. A layer within another one that already
/// holds the same key goes on under that lock.
///
/// A refusal for a busy key says when to come back: after what locks of this layer are held of late
/// in this process, no longer than the holder's lease or 30 s but a second at least, and up to as
/// much again, so that
/// clients do not come back at once.
///
/// **Who sends slowly** holds the lock meanwhile: the handler runs as soon as the request's head is
/// there, and waits for the body in `Json(body)` for as long as the client likes to take. A time-out of
/// the body within this layer, as tower-http's `RequestBodyTimeoutLayer`, ends one that pauses, and not one
/// that trickles: that is for [`with_max_hold`](Self::with_max_hold) with [`OnLost::Stop`]. Or read the
/// body first, without this layer, and lock in the handler, by [`Locks`](crate::lock::Locks).
///
/// **Cost**, with Redis, for each key: one script before the handler, one after it that nobody waits for, one
/// more for each third of a lease that the request lasts. A request that passes unguarded costs
/// no allocation.
///
/// ```
/// use std::time::Duration;
/// use tower_handoff::lock::{LockKey, LockLayer, MemoryLocks, OnLost};
///
/// let layer = LockLayer::new(MemoryLocks::new(), LockKey::new("nightly-report")?)
///     .with_lease(Duration::from_secs(30))?
///     .with_try()
///     .with_on_lost(OnLost::Stop);
/// # Ok::<(), tower_handoff::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct LockLayer {
    options: Options,
}

impl LockLayer {
    /// How long a request waits in line unless told otherwise.
    pub const DEFAULT_WAIT: Duration = DEFAULT_WAIT;
    /// The longest wait.
    pub const MAX_WAIT: Duration = MAX_WAIT;

    /// A layer that keeps its locks in `backend`, under the key that `key` finds.
    pub fn new(backend: impl LockBackend, key: impl KeyFrom) -> Self {
        Self {
            options: Options {
                manager: Manager::new(backend),
                key: Arc::new(key),
                terms: Terms::usual(),
                wait_from: None,
                methods: None,
                missing: OnMissingKey::Refuse,
                unavailable: OnUnavailable::Refuse,
                passed: Arc::default(),
                places: None,
                on_lost: OnLost::Signal,
                request_id: HeaderName::from_static("x-request-id"),
                responder: Responder::default(),
            },
        }
    }

    /// What metrics and [spans](crate::lock#seen-from-outside) call these locks, in the label `lock`:
    /// never their keys, of which there is no end. Default `unnamed`. Operators who ask who [holds](crate::lock::Locks::inspect) one are
    /// told the name too.
    ///
    /// ```
    /// use tower_handoff::lock::{LockLayer, MemoryLocks, key};
    ///
    /// # #[cfg(feature = "axum")]
    /// let layer = LockLayer::new(MemoryLocks::new(), key::path("order:{id}")).with_name("pay");
    /// ```
    pub fn with_name(mut self, name: &'static str) -> Self {
        self.options.terms.set_name(name);
        self
    }

    /// How long the lock outlives an instance that dies; a living one renews it. Default 10 s.
    ///
    /// # Errors
    /// When `lease` is shorter than 100 ms or longer than 24 h.
    pub fn with_lease(mut self, lease: Duration) -> Result<Self, ConfigError> {
        self.options.terms.set_lease(lease)?;
        Ok(self)
    }

    /// How long a request keeps the lock at most, its streaming body included. Then the lock is
    /// let go, and is lost to whoever still works under it. Default: a handler as long as it
    /// runs, also while it waits for the request's body, and a streaming body 60 s from the answer's
    /// head on.
    ///
    /// A handler that waits then is stopped, and answered 500, only under
    /// [`OnLost::Stop`](Self::with_on_lost); under [`OnLost::Signal`], the default, it goes on without
    /// the lock.
    ///
    /// # Errors
    /// When `time` is shorter than 100 ms or longer than 24 h.
    pub fn with_max_hold(mut self, time: Duration) -> Result<Self, ConfigError> {
        self.options.terms.set_max_hold(time)?;
        Ok(self)
    }

    /// How long a request waits in line while another one holds the lock, before it is answered
    /// 409. Default 5 s.
    ///
    /// # Errors
    /// When `wait` is zero, for which there is [`with_try`](Self::with_try), or longer than ten
    /// minutes.
    pub fn with_wait(mut self, wait: Duration) -> Result<Self, ConfigError> {
        self.options.terms.set_wait(wait, "with_try")?;
        Ok(self)
    }

    /// Does not wait: while another request holds the lock, the answer is 409 at once.
    ///
    /// The release is sent before the answer of the request that held the lock, but nobody waits
    /// for it. A client that, having that answer, reaches another instance faster than the
    /// release reaches the backend can still see 409; waiting even a little hides that.
    pub fn with_try(mut self) -> Self {
        self.options.terms.wait = None;
        self
    }

    /// Lets no more than `places` requests wait for this layer's locks in this process, whatever
    /// their keys. The next one still gets a key that is free; where it would have to wait, it is
    /// refused at once, 503 with [`Reason::LockQueueFull`](crate::Reason::LockQueueFull), so that
    /// a hot key does not gather more requests than the instance has room for. Default: only the
    /// backend's bound for each key.
    ///
    /// A request takes a place for as long as it asks for its lock, also where it then need not
    /// wait. Clones of the layer share the places.
    pub fn with_shed(mut self, places: usize) -> Self {
        let places = places.min(Semaphore::MAX_PERMITS);
        self.options.places = Some(Arc::new(Semaphore::new(places)));
        self
    }

    /// Takes the wait from the request's head; `None` means the layer's own, zero does not wait,
    /// and more than ten minutes are ten minutes.
    pub fn with_wait_from<F>(mut self, wait: F) -> Self
    where
        F: Fn(&Parts) -> Option<Duration> + Send + Sync + 'static,
    {
        self.options.wait_from = Some(Arc::new(wait));
        self
    }

    /// Guards requests with these methods and no others. Default: all but GET, HEAD, OPTIONS and
    /// TRACE.
    pub fn with_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.options.methods = Some(methods.into_iter().collect());
        self
    }

    /// What becomes of a request that has nothing to make a key from. Default: 400.
    pub fn with_on_missing_key(mut self, missing: OnMissingKey) -> Self {
        self.options.missing = missing;
        self
    }

    /// What becomes of a request while the backend is away. Default: 503.
    pub fn with_on_unavailable(mut self, unavailable: OnUnavailable) -> Self {
        self.options.unavailable = unavailable;
        self
    }

    /// How many requests passed without a lock because the backend was away, in this process,
    /// through this layer and its clones.
    ///
    /// ```
    /// use tower_handoff::lock::{LockKey, LockLayer, MemoryLocks, OnUnavailable};
    ///
    /// let layer = LockLayer::new(MemoryLocks::new(), LockKey::new("import")?)
    ///     .with_on_unavailable(OnUnavailable::Pass);
    /// let watched = layer.clone(); // for whoever exports the figure
    /// assert_eq!(watched.passed_unguarded(), 0);
    /// # Ok::<(), tower_handoff::ConfigError>(())
    /// ```
    #[must_use]
    pub fn passed_unguarded(&self) -> u64 {
        self.options.passed.load(Ordering::Relaxed)
    }

    /// What becomes of a handler whose lock is lost while it runs. Default: it is told.
    pub fn with_on_lost(mut self, on_lost: OnLost) -> Self {
        self.options.on_lost = on_lost;
        self
    }

    /// Where a request's id is found that operators are told, with its route, when they ask who
    /// [holds](crate::lock::Locks::inspect) its lock. Default `x-request-id`. Where clients can send
    /// the header it says what they like, in 64 visible characters.
    pub fn with_request_id(mut self, header: HeaderName) -> Self {
        self.options.request_id = header;
        self
    }

    /// Answers refusals its own way. Default: `application/problem+json`.
    pub fn with_responder(mut self, responder: Responder) -> Self {
        self.options.responder = responder;
        self
    }
}

impl<S> Layer<S> for LockLayer {
    type Service = LockService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LockService::new(inner, Arc::new(self.options.clone()))
    }
}
