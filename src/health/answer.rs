//! What each probe says, as status and JSON.
//!
//! Floor 3.

use http::StatusCode;
use serde_json::{Map, Value, json};

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
    pub(crate) checks: Vec<CheckView>,
}

impl State<'_> {
    /// The status code and the JSON text.
    pub(crate) fn answer(&self, probe: Probe) -> (StatusCode, String) {
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
        let mut checks = Map::new();
        for check in &self.checks {
            let mut view = json!({ "status": check.status.as_str() });
            if let Some(output) = check.output {
                view["output"] = output.into();
            }
            checks.insert(check.name.clone(), Value::Array(vec![view]));
        }
        let mut body = json!({
            "status": status.as_str(),
            "phase": self.phase.public_str(),
            "instance": self.instance,
            "checks": checks,
        });
        if let Some(reason) = reason {
            body["output"] = reason.into();
        }
        (code, body.to_string())
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
