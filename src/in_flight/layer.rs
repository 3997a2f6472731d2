//! The layer's options.
//!
//! Floor 6.

use tower_layer::Layer;

use crate::in_flight::requests::InFlight;
use crate::in_flight::service::InFlightService;

/// Counts every request from `call` to the end of its answer's body.
///
/// See the [module](crate::in_flight).
#[derive(Debug, Clone)]
pub struct InFlightLayer {
    in_flight: InFlight,
    paths: bool,
    listed: bool,
}

impl InFlightLayer {
    /// Counts in `in_flight`.
    #[must_use]
    pub fn new(in_flight: InFlight) -> Self {
        Self {
            in_flight,
            paths: false,
            listed: true,
        }
    }

    /// Whether a listed request shows its path. Default: no, because paths may hold secrets.
    /// With it, a request costs an allocation.
    #[must_use]
    pub fn with_paths(mut self, paths: bool) -> Self {
        self.paths = paths;
        self
    }

    /// Whether requests are listed, and not just counted. Default: yes.
    ///
    /// Without the list a request costs two atomic additions; with it also a look at the clock,
    /// and the report can name what was cut off.
    #[must_use]
    pub fn with_list(mut self, listed: bool) -> Self {
        self.listed = listed;
        self
    }
}

impl<S> Layer<S> for InFlightLayer {
    type Service = InFlightService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self {
            in_flight,
            paths,
            listed,
        } = *self;
        InFlightService {
            inner,
            in_flight,
            paths,
            listed,
        }
    }
}
