//! What each probe says, as status and JSON.
//!
//! Floor 3.

use http::StatusCode;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::health::monitor::CheckView;
use crate::health::verdict::Status;
use crate::lifecycle::phase::Phase;

/// Which question was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Health,
    Ready,
    Startup,
}

impl Probe {
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/health" => Some(Self::Health),
            "/ready" => Some(Self::Ready),
            "/startup" => Some(Self::Startup),
            _ => None,
        }
    }
}

/// What the answer is made of.
#[derive(Debug)]
pub(crate) struct State<'a> {
    pub(crate) phase: Phase,
    pub(crate) started: bool,
    pub(crate) instance: &'a str,
    pub(crate) checks: Vec<CheckView<'a>>,
}

impl State<'_> {
    /// The status code and the JSON text.
    pub(crate) fn answer(&self, probe: Probe, details: bool) -> (StatusCode, String) {
        let (status, reason) = match probe {
            // As long as this can be said, restarting the process helps nobody.
            Probe::Health => (Status::Pass, None),
            Probe::Startup if self.started => (Status::Pass, None),
            Probe::Startup => (Status::Fail, Some("start-up has not finished".to_owned())),
            Probe::Ready => self.readiness(),
        };
        let code = match status {
            Status::Pass | Status::Warn => StatusCode::OK,
            Status::Fail => StatusCode::SERVICE_UNAVAILABLE,
        };
        let body = Body {
            state: self,
            status,
            output: reason.as_deref(),
            details,
        };
        // Keys are strings and nothing else can fail.
        (code, serde_json::to_string(&body).unwrap_or_default())
    }

    /// The phase stands over every check.
    fn readiness(&self) -> (Status, Option<String>) {
        if self.phase != Phase::Ready {
            let phase = self.phase.public_str();
            return (Status::Fail, Some(format!("the instance is {phase}")));
        }
        let worst = self.checks.iter().max_by_key(|check| check.status);
        match worst {
            Some(CheckView {
                name,
                status,
                output: Some(output),
            }) if *status != Status::Pass => (*status, Some(format!("{name} {output}"))),
            _ => (Status::Pass, None),
        }
    }
}

/// Written as it is walked through: a prober asks all the time, and a tree of values would cost
/// several times what there is to say.
struct Body<'a> {
    state: &'a State<'a>,
    status: Status,
    output: Option<&'a str>,
    details: bool,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.details {
            map.serialize_entry("checks", &Checks(&self.state.checks))?;
            map.serialize_entry("instance", self.state.instance)?;
            if let Some(output) = self.output {
                map.serialize_entry("output", output)?;
            }
            map.serialize_entry("phase", self.state.phase.public_str())?;
        }
        map.serialize_entry("status", self.status.as_str())?;
        map.end()
    }
}

struct Checks<'a>(&'a [CheckView<'a>]);

impl Serialize for Checks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|check| (check.name, [check])))
    }
}

impl Serialize for CheckView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(output) = self.output {
            map.serialize_entry("output", output)?;
        }
        map.serialize_entry("status", self.status.as_str())?;
        map.end()
    }
}
