//! Where the instance runs, and how much patience it finds there.
//!
//! Floor 3.

use std::fmt;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use crate::config::ConfigError;
use crate::lifecycle::manager::NOTIFY_VARIABLE;

/// What starts and stops the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlatformKind {
    /// Kubernetes, Knative included. The 30 s include the time of a `preStop` hook: take that
    /// off with `grace`.
    Kubernetes,
    /// Google Cloud Run. It stops an instance that gets no requests any more.
    CloudRun,
    /// Amazon ECS and Fargate.
    Ecs,
    /// Fly.io.
    Fly,
    /// Nomad.
    Nomad,
    /// Heroku, Render, Azure Container Apps.
    Paas,
    /// A systemd unit that is told about its socket (`Type=notify`).
    Systemd,
    /// Docker or Compose.
    Docker,
    /// Somebody at a terminal.
    Terminal,
    /// None of these.
    Unknown,
}

impl PlatformKind {
    /// From the signal to the kill, where nobody has set it otherwise.
    ///
    /// Kubernetes, ECS, Heroku-likes 30 s · systemd 90 s · Cloud Run, Docker, unknown 10 s ·
    /// Fly, Nomad, terminal 5 s.
    #[must_use]
    pub fn grace(self) -> Duration {
        Duration::from_secs(match self {
            Self::Systemd => 90,
            Self::Kubernetes | Self::Ecs | Self::Paas => 30,
            Self::CloudRun | Self::Docker | Self::Unknown => 10,
            Self::Fly | Self::Nomad | Self::Terminal => 5,
        })
    }

    /// How long its load balancers go on sending requests after the signal.
    ///
    /// Kubernetes 5 s · ECS, Heroku-likes 2 s · Fly 500 ms · the others 0: they stop sending
    /// before they signal, or nothing is in front.
    ///
    /// Only the settle tells clients of kept connections to close them. With 0 and nothing in
    /// flight, an idle one is closed at once, and a request that is on its way there gets no answer:
    /// where clients keep connections, give it what they take to ask again.
    #[must_use]
    pub fn settle(self) -> Duration {
        Duration::from_millis(match self {
            Self::Kubernetes => 5000,
            Self::Ecs | Self::Paas => 2000,
            Self::Fly => 500,
            Self::CloudRun
            | Self::Nomad
            | Self::Systemd
            | Self::Docker
            | Self::Terminal
            | Self::Unknown => 0,
        })
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::CloudRun => "cloud-run",
            Self::Ecs => "ecs",
            Self::Fly => "fly",
            Self::Nomad => "nomad",
            Self::Paas => "paas",
            Self::Systemd => "systemd",
            Self::Docker => "docker",
            Self::Terminal => "terminal",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for PlatformKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The variable that sets the grace period, in milliseconds.
pub const GRACE_VARIABLE: &str = "HANDOFF_GRACE_MS";
/// The variable that sets the settle, in milliseconds.
pub const SETTLE_VARIABLE: &str = "HANDOFF_SETTLE_MS";

/// A platform, and what the environment says about times.
///
/// Times set in code stand over `HANDOFF_GRACE_MS` and `HANDOFF_SETTLE_MS`, which stand over the
/// platform's defaults. A variable that holds no integer from 0 to 86400000 is an error when the
/// lifecycle is built; an empty one counts as unset.
///
/// ```
/// use std::collections::HashMap;
/// use tower_handoff::lifecycle::{Platform, PlatformKind};
///
/// let variables = HashMap::from([("K_SERVICE", "shop")]);
/// let lookup = |name: &str| variables.get(name).map(|value| value.to_string());
/// let platform = Platform::detect_with(lookup, |_| false, true);
/// assert_eq!(platform.kind(), PlatformKind::CloudRun);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    kind: PlatformKind,
    grace: Option<String>,
    settle: Option<String>,
    notify: Option<String>,
}

impl Platform {
    /// Looks at the environment: variables, `/.dockerenv`, whether stdin is a terminal.
    #[must_use]
    pub fn detect() -> Self {
        Self::detect_with(
            variable,
            |path| path.exists(),
            std::io::stdin().is_terminal(),
        )
    }

    /// [`detect`](Self::detect) in surroundings that the caller describes.
    pub fn detect_with(
        variable: impl Fn(&str) -> Option<String>,
        exists: impl Fn(&Path) -> bool,
        terminal: bool,
    ) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let has = |name: &str| get(name).is_some();
        // Knative sets Cloud Run's variable too, so Kubernetes comes first. The platforms come
        // before what they may be made of: systemd, Docker, a terminal.
        let kind = if has("KUBERNETES_SERVICE_HOST") {
            PlatformKind::Kubernetes
        } else if has("K_SERVICE") || has("CLOUD_RUN_JOB") {
            PlatformKind::CloudRun
        } else if has("ECS_CONTAINER_METADATA_URI_V4") {
            PlatformKind::Ecs
        } else if has("FLY_MACHINE_ID") || has("FLY_APP_NAME") {
            PlatformKind::Fly
        } else if has("NOMAD_ALLOC_ID") {
            PlatformKind::Nomad
        } else if has("DYNO") || has("RENDER") || has("CONTAINER_APP_NAME") {
            PlatformKind::Paas
        } else if has(NOTIFY_VARIABLE) {
            PlatformKind::Systemd
        } else if exists(Path::new("/.dockerenv")) {
            PlatformKind::Docker
        } else if terminal {
            PlatformKind::Terminal
        } else {
            PlatformKind::Unknown
        };
        Self {
            kind,
            grace: get(GRACE_VARIABLE),
            settle: get(SETTLE_VARIABLE),
            notify: get(NOTIFY_VARIABLE),
        }
    }

    /// What was found.
    #[must_use]
    pub fn kind(&self) -> PlatformKind {
        self.kind
    }

    /// Where the service manager listens.
    pub(crate) fn notify(&self) -> Option<&str> {
        self.notify.as_deref()
    }

    /// The grace period: the variable's, else the platform's.
    pub(crate) fn grace(&self) -> Result<Duration, ConfigError> {
        let set = parse(GRACE_VARIABLE, self.grace.as_deref())?;
        Ok(set.unwrap_or_else(|| self.kind.grace()))
    }

    /// The settle: the variable's, else the platform's.
    pub(crate) fn settle(&self) -> Result<Duration, ConfigError> {
        let set = parse(SETTLE_VARIABLE, self.settle.as_deref())?;
        Ok(set.unwrap_or_else(|| self.kind.settle()))
    }
}

impl From<PlatformKind> for Platform {
    /// That platform's times, whatever the environment says. Who listens at `NOTIFY_SOCKET` is
    /// told all the same: a unit that is not waits for it in vain.
    fn from(kind: PlatformKind) -> Self {
        Self {
            kind,
            grace: None,
            settle: None,
            notify: variable(NOTIFY_VARIABLE).filter(|address| !address.is_empty()),
        }
    }
}

/// What is no UTF-8 is a value all the same: no number, so an error and not ignored.
fn variable(name: &str) -> Option<String> {
    Some(std::env::var_os(name)?.to_string_lossy().into_owned())
}

fn parse(name: &'static str, value: Option<&str>) -> Result<Option<Duration>, ConfigError> {
    const DAY_MS: u64 = 86_400_000;
    let Some(value) = value else {
        return Ok(None);
    };
    match value.trim().parse() {
        Ok(ms) if ms <= DAY_MS => Ok(Some(Duration::from_millis(ms))),
        _ => {
            let accepted = "milliseconds, an integer from 0 to 86400000";
            Err(ConfigError::new(name, value, accepted))
        }
    }
}
