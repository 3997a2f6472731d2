//! `/metrics`: Prometheus text, brought up to date by who asks for it.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tower_handoff::lifecycle::LifecycleHandle;
use tower_handoff::telemetry;

/// Before anything is recorded.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let seconds = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)?
        .install_recorder()?;
    telemetry::describe();
    Ok(prometheus)
}

pub(crate) fn routes(prometheus: PrometheusHandle, lifecycle: LifecycleHandle) -> Router {
    Router::new()
        .route("/metrics", get(show))
        .with_state((prometheus, lifecycle))
}

async fn show(
    State((prometheus, lifecycle)): State<(PrometheusHandle, LifecycleHandle)>,
) -> String {
    lifecycle.record_metrics();
    prometheus.run_upkeep();
    prometheus.render()
}
