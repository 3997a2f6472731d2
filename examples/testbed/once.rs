//! A job that one instance runs.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::post;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;
use tower_handoff::ConfigError;
use tower_handoff::once::{Job, Once, OnceError, OnceStore, Outcome};

use crate::config::Config;

#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    fresh_ms: u64,
    #[serde(default)]
    hold_ms: u64,
    /// How the job ends: well where not given.
    end: Option<End>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum End {
    Fail,
    Panic,
}

pub(crate) fn routes(
    store: impl OnceStore,
    config: &Config,
    instance: String,
) -> Result<Router, ConfigError> {
    let once = Once::new(store)
        .with_lease(config.lease)?
        .with_instance_id(&instance)?;
    Ok(Router::new()
        .route("/once/{job}", post(run))
        .with_state((once, instance)))
}

/// Whoever runs the job leaves its name as the result, so that the others know also afterwards.
async fn run(
    State((once, instance)): State<(Once, String)>,
    Path(job): Path<String>,
    Query(times): Query<Times>,
) -> Response {
    let fresh = Duration::from_millis(times.fresh_ms);
    let job = match Job::new(job).and_then(|job| job.with_fresh_for(fresh)) {
        Ok(job) => job,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let work = async {
        sleep(Duration::from_millis(times.hold_ms)).await;
        match times.end {
            None => Ok(instance),
            Some(End::Fail) => Err("asked to"),
            Some(End::Panic) => panic!("asked to, with the job at work"),
        }
    };
    match once.run(&job, |_| work).await {
        Ok(Outcome::Ran(instance)) => {
            Json(json!({ "ran": true, "instance": instance })).into_response()
        }
        Ok(Outcome::Fresh(by)) => Json(json!({ "ran": false, "by": by })).into_response(),
        Ok(Outcome::Skipped { by }) => Json(json!({ "ran": false, "by": by })).into_response(),
        Ok(_) => StatusCode::NOT_IMPLEMENTED.into_response(),
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &OnceError<&'static str>) -> Response {
    match error.refusal() {
        Some(refusal) => refusal.response().map(Body::from),
        None => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
