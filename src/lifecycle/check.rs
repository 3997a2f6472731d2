//! The port of a health check.
//!
//! Floor 2.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::BoxError;
use crate::health::policy::{CheckClass, CheckPolicy};

/// A future whose type is not named, so that a trait can stay usable as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Says whether something the instance depends on is there.
///
/// A check runs in the background, beside all others; probes read its last result and never
/// wait for it. One run at a time: where one blocks its thread past its time-out, it counts as failed
/// again and again, and no other begins before it has ended. Name, class and policy are asked for when
/// the lifecycle is built, and not again.
///
/// # Contract
/// - It asks the dependency anew each time, at the cost of one cheap round trip.
/// - It only looks: it repairs, reconnects and allocates nothing that outlives it.
/// - It may be dropped at any await (that is how a time-out ends it), so it holds nothing that
///   must be given back by hand.
///
/// Wrong: the first failure is remembered for ever, and a thread of the runtime is blocked.
///
/// ```
/// use std::net::TcpStream;
/// use tower_handoff::health::{BoxFuture, HealthCheck};
/// # use tower_handoff::BoxError;
///
/// struct Wrong { reachable: bool }
///
/// impl HealthCheck for Wrong {
///     fn name(&self) -> &str { "mail" }
///     fn check(&self) -> BoxFuture<'_, Result<(), BoxError>> {
///         Box::pin(async {
///             if !self.reachable { return Err("away".into()); }
///             TcpStream::connect("127.0.0.1:25")?; // blocks every other request of this thread
///             Ok(())
///         })
///     }
/// }
/// ```
///
/// Right: asks each time, without blocking, and leaves nothing behind.
///
/// ```
/// use tokio::net::TcpStream;
/// use tower_handoff::health::{BoxFuture, CheckClass, HealthCheck};
/// # use tower_handoff::BoxError;
///
/// struct Mail;
///
/// impl HealthCheck for Mail {
///     fn name(&self) -> &str { "mail" }
///     fn class(&self) -> CheckClass { CheckClass::Optional }
///     fn check(&self) -> BoxFuture<'_, Result<(), BoxError>> {
///         Box::pin(async {
///             TcpStream::connect("127.0.0.1:25").await?;
///             Ok(())
///         })
///     }
/// }
/// ```
pub trait HealthCheck: Send + Sync + 'static {
    /// The name that probes and logs show; no two checks of one instance share it.
    fn name(&self) -> &str;

    /// How much the instance depends on it. Default: required.
    fn class(&self) -> CheckClass {
        CheckClass::Required
    }

    /// When it runs and when its result counts.
    fn policy(&self) -> CheckPolicy {
        CheckPolicy::default()
    }

    /// Asks once.
    ///
    /// # Errors
    /// Whatever says why not. Its text goes to the log, not to a probe's reader.
    fn check(&self) -> BoxFuture<'_, Result<(), BoxError>>;
}

impl<T: HealthCheck + ?Sized> HealthCheck for Arc<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn class(&self) -> CheckClass {
        (**self).class()
    }

    fn policy(&self) -> CheckPolicy {
        (**self).policy()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        (**self).check()
    }
}

/// A health check made of a closure.
///
/// ```
/// use tower_handoff::health::{Check, CheckClass, CheckPolicy};
///
/// let search = Check::new("search", || async { Err("no answer".into()) })
///     .class(CheckClass::Optional)
///     .policy(CheckPolicy::default().fail_after(1));
/// ```
pub struct Check {
    name: Box<str>,
    class: CheckClass,
    policy: CheckPolicy,
    check: Box<CheckFn>,
}

type CheckFn = dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

impl Check {
    /// A required check that calls `check` each time.
    pub fn new<F, Fut>(name: impl Into<String>, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self {
            name: name.into().into(),
            class: CheckClass::Required,
            policy: CheckPolicy::default(),
            check: Box::new(move || Box::pin(check())),
        }
    }

    /// How much the instance depends on it. Default: required.
    #[must_use]
    pub fn class(mut self, class: CheckClass) -> Self {
        self.class = class;
        self
    }

    /// When it runs and when its result counts.
    #[must_use]
    pub fn policy(mut self, policy: CheckPolicy) -> Self {
        self.policy = policy;
        self
    }
}

impl HealthCheck for Check {
    fn name(&self) -> &str {
        &self.name
    }

    fn class(&self) -> CheckClass {
        self.class
    }

    fn policy(&self) -> CheckPolicy {
        self.policy
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BoxError>> {
        (self.check)()
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            class,
            policy,
            check: _,
        } = self;
        f.debug_struct("Check")
            .field("name", name)
            .field("class", class)
            .field("policy", policy)
            .finish_non_exhaustive()
    }
}
