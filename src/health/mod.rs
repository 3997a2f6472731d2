//! Probes: is the process alive, may it get requests, has it started.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /health` | 200 while the process can answer at all, to the very end |
//! | `GET /ready` | 200 in phase `Ready` while no required check fails, else 503 with the reason |
//! | `GET /startup` | 503 until the start-up gates were open, then 200 for good |
//!
//! HEAD answers as GET without the body; other methods get 405, other paths 404. The body is
//! `application/health+json` with `status` (`pass`, `warn`, `fail`); with
//! [details](ProbeService::with_details), which are shown where they are allowed and by `serve_probes`,
//! also `phase`, `instance`, `checks`, and `output` where there is a reason. Why a check fails is in the
//! log; a probe's reader learns no addresses.
//!
//! Checks run in the background, each in a task of its own, with a time-out, and several
//! results in a row are needed to change a verdict ([`CheckPolicy`]). A probe reads the last
//! verdict: it waits for no dependency and puts no load on one.
//!
//! ```
//! use http::{Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_handoff::health::{Check, CheckClass};
//! use tower_handoff::lifecycle::Lifecycle;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lifecycle = Lifecycle::builder()
//!     .check(Check::new("search", || async { Ok(()) }).class(CheckClass::Optional))
//!     .build()?;
//!
//! // Before `run` the instance starts, and says so.
//! let probes = lifecycle.probes();
//! let ready = probes.clone().oneshot(Request::get("/ready").body(())?).await?;
//! assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
//! let health = probes.oneshot(Request::get("/health").body(())?).await?;
//! assert_eq!(health.status(), StatusCode::OK);
//! # Ok(())
//! # }
//! ```

mod answer;
#[cfg(feature = "axum")]
mod axum;
mod body;
pub(crate) mod monitor;
pub(crate) mod policy;
pub(crate) mod pre_stop;
pub(crate) mod service;
mod verdict;

pub use crate::lifecycle::{BoxFuture, Check, HealthCheck};
pub use body::ProbeBody;
pub use policy::{CheckClass, CheckPolicy};
pub use pre_stop::PreStopService;
pub use service::ProbeService;
