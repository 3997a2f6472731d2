//! How a lifecycle is put together.
//!
//! Floor 5.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::BoxError;
use crate::config::ConfigError;
use crate::health::monitor::Monitor;
use crate::instance::{checked_id, random_id};
use crate::lifecycle::budget::Budget;
use crate::lifecycle::check::HealthCheck;
use crate::lifecycle::handle::LifecycleHandle;
use crate::lifecycle::hook::{Hook, total_timeout};
use crate::lifecycle::managed::Managed;
use crate::lifecycle::platform::Platform;
use crate::lifecycle::run::{Lifecycle, Parts};
use crate::lifecycle::start::StartGate;

/// Made by [`Lifecycle::builder`].
#[must_use = "nothing is built before `build`"]
pub struct LifecycleBuilder {
    platform: Option<Platform>,
    grace: Option<Duration>,
    settle: Option<Duration>,
    hook_time: Option<Duration>,
    instance: Option<String>,
    managed: Vec<Arc<dyn Managed>>,
    checks: Vec<Arc<dyn HealthCheck>>,
    gates: Vec<StartGate>,
    hooks: Vec<Hook>,
    report_paths: bool,
    request_id_header: Option<String>,
    show_watch: bool,
    signals: bool,
}

impl Lifecycle {
    /// Begins with the detected platform, no parts, no checks, no hooks.
    pub fn builder() -> LifecycleBuilder {
        LifecycleBuilder {
            platform: None,
            grace: None,
            settle: None,
            hook_time: None,
            instance: None,
            managed: Vec::new(),
            checks: Vec::new(),
            gates: Vec::new(),
            hooks: Vec::new(),
            report_paths: false,
            request_id_header: None,
            show_watch: false,
            signals: true,
        }
    }
}

impl LifecycleBuilder {
    /// Where the instance runs, and with it the defaults of grace and settle. Default:
    /// [`Platform::detect`].
    pub fn platform(mut self, platform: impl Into<Platform>) -> Self {
        self.platform = Some(platform.into());
        self
    }

    /// From the signal to the exit; at most a day. Default: the variable `HANDOFF_GRACE_MS`,
    /// else the platform's.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How long everything is still served after the signal, until the load balancer has
    /// learned of it. Default: the variable `HANDOFF_SETTLE_MS`, else the platform's.
    ///
    /// It is the whole time that is given, and does not end early when probes have been told: no
    /// answer to a probe says that the load balancer has acted on it, and everywhere.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.settle = Some(settle);
        self
    }

    /// What flushes and hooks have together, kept back from the drain. Flushes get what the
    /// hooks' own time-outs leave of it, at least half; where those add up to more than all of
    /// it, the last hooks may be cut off, which building says in the log.
    ///
    /// Default: a tenth of the grace (at most 1.5 s) for flushes, and as much for hooks, or the
    /// sum of their time-outs where that is more.
    pub fn hook_time(mut self, time: Duration) -> Self {
        self.hook_time = Some(time);
        self
    }

    /// Something that the shutdown looks after, in the order of registration; its health check,
    /// if it has one, joins the probes. Its name is nobody else's, hooks included.
    pub fn manage(mut self, part: impl Managed) -> Self {
        self.managed.push(Arc::new(part));
        self
    }

    /// A check that decides about readiness. Its name is no other check's.
    pub fn check(mut self, check: impl HealthCheck) -> Self {
        self.checks.push(Arc::new(check));
        self
    }

    /// A start-up gate: the instance is not ready before it, and all others, have ended well.
    ///
    /// Gates run side by side, each in a task of its own, from the first poll of
    /// [`Lifecycle::run`] on; the server serves meanwhile. One that fails or panics begins the
    /// shutdown, is named in the report and makes the exit code 1. A shutdown that comes first
    /// drops them.
    pub fn on_start<F>(mut self, name: impl Into<Arc<str>>, work: F) -> Self
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.gates.push(StartGate {
            name: name.into(),
            work: Box::pin(work),
        });
        self
    }

    /// A hook for the end: runs when nothing is in flight or the drain's time is over, after the
    /// managed parts were flushed and before they are closed.
    ///
    /// Hooks run in the order of registration, one at a time, each in a task of its own: one that
    /// fails, panics or takes more than `timeout` (or than is left of the hook time) is named in
    /// the report, and the next one runs. One that blocks its thread without an await cannot be
    /// cut off.
    pub fn on_shutdown<F, Fut>(
        mut self,
        name: impl Into<Arc<str>>,
        timeout: Duration,
        hook: F,
    ) -> Self
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.hooks.push(Hook {
            name: name.into(),
            timeout,
            work: Box::new(move || Box::pin(hook())),
        });
        self
    }

    /// The instance's name in probes: 1 to 64 visible ASCII characters. Default: 12 random ones.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance = Some(id.into());
        self
    }

    /// Whether `/status` and the report show the paths of requests. Default: no, routes only,
    /// because paths may hold secrets. With them, a request costs an allocation.
    pub fn report_paths(mut self, paths: bool) -> Self {
        self.report_paths = paths;
        self
    }

    /// The header by which `/status`, the warning at half of the drain and the report name requests:
    /// `x-request-id`, say. Default: none. Of its value, the first 64 bytes are shown, with a `_` for
    /// whatever is no visible ASCII character. With it, a request that has one costs two allocations.
    pub fn request_id_header(mut self, name: impl Into<String>) -> Self {
        self.request_id_header = Some(name.into());
        self
    }

    /// Whether requests carry the [`PhaseWatch`](crate::lifecycle::PhaseWatch) in their extensions,
    /// by which a handler hears that draining begins, wherever [`Lifecycle::layer`] is. Default: no,
    /// because it costs each of them an allocation, three where its extensions are empty.
    pub fn show_watch(mut self, shown: bool) -> Self {
        self.show_watch = shown;
        self
    }

    /// Whether [`Lifecycle::run`] watches SIGTERM and SIGINT (elsewhere Ctrl-C). Default: yes.
    ///
    /// Turn it off where somebody else does, who calls [`LifecycleHandle::shutdown`], and in tests.
    /// In a process where another lifecycle has watched them, a second one still ends it.
    pub fn signals(mut self, signals: bool) -> Self {
        self.signals = signals;
        self
    }

    /// Checks it all and builds.
    ///
    /// # Errors
    /// When a variable holds no number, when settle, hooks and margin do not fit into the grace
    /// (the error spells the sum out), when a name is used twice or is empty, when the instance's
    /// name or that of the header is not acceptable.
    ///
    /// # Panics
    /// Where a managed part or a check does, when asked for its name, class, policy or check.
    pub fn build(self) -> Result<Lifecycle, ConfigError> {
        let Self {
            platform,
            grace,
            settle,
            hook_time,
            instance,
            managed,
            mut checks,
            gates,
            hooks,
            report_paths,
            request_id_header,
            show_watch,
            signals,
        } = self;
        let platform = platform.unwrap_or_else(Platform::detect);
        let grace = grace.map_or_else(|| platform.grace(), Ok)?;
        let settle = settle.map_or_else(|| platform.settle(), Ok)?;
        let wanted = total_timeout(&hooks);
        let hook_time = hook_time.unwrap_or_else(|| {
            let half = (grace / 10).min(Duration::from_millis(1500));
            half.saturating_add(half.max(wanted))
        });
        if wanted > hook_time {
            tracing::warn!(
                ?hook_time,
                time_outs = ?wanted,
                "the hooks' time-outs add up to more than the hook time: the last may be cut off"
            );
        }
        let budget = Budget::new(grace, settle, hook_time)?;

        checks.extend(managed.iter().filter_map(|part| part.health_check()));
        let parts = managed.iter().map(|part| part.name());
        let hook_names = hooks.iter().map(|hook| &*hook.name);
        distinct("hook or managed part", parts.chain(hook_names))?;
        distinct("check", checks.iter().map(|check| check.name()))?;
        distinct("start-up gate", gates.iter().map(|gate| &*gate.name))?;

        let request_id_header = request_id_header.map(checked_header).transpose()?;
        let instance = instance.map_or_else(|| Ok(random_id()), checked_id)?;
        Ok(Lifecycle {
            handle: LifecycleHandle::new(instance, budget.grace()),
            monitor: Monitor::new(checks),
            report_paths,
            request_id_header,
            show_watch,
            parts: Parts {
                platform,
                budget,
                managed,
                gates,
                hooks,
                signals,
            },
        })
    }
}

/// Leaked, as what counts the requests is: each of them copies what says how it is shown.
fn checked_header(name: String) -> Result<&'static HeaderName, ConfigError> {
    match HeaderName::try_from(&name) {
        Ok(header) => Ok(Box::leak(Box::new(header))),
        Err(_) => {
            let accepted = "a header's name: letters, digits and !#$%&'*+-.^_`|~";
            Err(ConfigError::new("request_id_header", name, accepted))
        }
    }
}

fn distinct<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    for name in names {
        if name.is_empty() || !seen.insert(name) {
            let option = format!("the name of a {what}");
            return Err(ConfigError::new(
                option,
                name,
                "a name that no other one has",
            ));
        }
    }
    Ok(())
}

impl fmt::Debug for LifecycleBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LifecycleBuilder")
            .field("platform", &self.platform)
            .field("grace", &self.grace)
            .field("settle", &self.settle)
            .field("hook_time", &self.hook_time)
            .finish_non_exhaustive()
    }
}
