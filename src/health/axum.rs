//! The probes as axum routes.
//!
//! Floor 7.

use axum::Router;
use axum::routing::any_service;

use crate::health::service::ProbeService;

impl<S: Clone + Send + Sync + 'static> From<ProbeService> for Router<S> {
    /// Three explicit routes and no fallback, so that it merges with any router.
    fn from(probes: ProbeService) -> Self {
        let route = |router: Self, path| router.route(path, any_service(probes.clone()));
        ProbeService::PATHS.into_iter().fold(Self::new(), route)
    }
}
