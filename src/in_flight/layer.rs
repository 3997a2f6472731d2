//! The layer's options.
//!
//! Floor 6.

use http::HeaderName;
use tower_layer::Layer;

use crate::in_flight::requests::{InFlight, Shows};
use crate::in_flight::service::InFlightService;

/// Counts every request from `call` to the end of its answer's body.
///
/// See the [module](crate::in_flight).
#[derive(Debug, Clone)]
pub struct InFlightLayer {
    in_flight: InFlight,
    shows: Shows,
    listed: bool,
}

impl InFlightLayer {
    /// Counts in `in_flight`.
    #[must_use]
    pub fn new(in_flight: InFlight) -> Self {
        Self {
            in_flight,
            shows: Shows::default(),
            listed: true,
        }
    }

    /// Whether a listed request shows its path. Default: no, because paths may hold secrets.
    /// With it, a request costs an allocation.
    #[must_use]
    pub fn with_paths(mut self, paths: bool) -> Self {
        self.shows.paths = paths;
        self
    }

    /// Whether a listed request shows its id, the value of this header: the first 64 bytes of it, with
    /// a `_` for whatever is no visible ASCII character. Default: no. With it, a request that has one
    /// costs two allocations.
    ///
    /// The header's name is given back when the process ends: make one layer a process.
    #[must_use]
    pub fn with_request_id(self, header: HeaderName) -> Self {
        self.with_leaked_request_id(Some(Box::leak(Box::new(header))))
    }

    pub(crate) fn with_leaked_request_id(mut self, header: Option<&'static HeaderName>) -> Self {
        self.shows.request_id = header;
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
            shows,
            listed,
        } = *self;
        InFlightService {
            inner,
            in_flight,
            shows,
            listed,
        }
    }
}
