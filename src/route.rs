//! The name of the route that a request matched.
//!
//! Floor 0.

use std::sync::Arc;

use http::Extensions;

/// The route's name, for services without a router that tells it.
///
/// Put it into the request's extensions outside the in-flight layer, and it is shown where
/// requests in flight are listed. axum's routes need none of this: their `MatchedPath` is read.
///
/// ```
/// use tower_handoff::in_flight::RouteName;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RouteName::new("/orders/{id}"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteName(Arc<str>);

impl RouteName {
    /// Makes a name; make it once and clone it, so that a request allocates nothing.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

/// A route's name, in the form in which it was found.
#[derive(Debug)]
pub(crate) enum Route {
    Named(RouteName),
    #[cfg(feature = "axum")]
    Matched(axum::extract::MatchedPath),
}

impl Route {
    /// The request's route: a [`RouteName`], else what the router matched.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        if let Some(name) = extensions.get::<RouteName>() {
            return Some(Self::Named(name.clone()));
        }
        #[cfg(feature = "axum")]
        if let Some(matched) = extensions.get::<axum::extract::MatchedPath>() {
            return Some(Self::Matched(matched.clone()));
        }
        None
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Named(name) => &name.0,
            #[cfg(feature = "axum")]
            Self::Matched(matched) => matched.as_str(),
        }
    }

    pub(crate) fn name(&self) -> Arc<str> {
        match self {
            Self::Named(name) => name.0.clone(),
            #[cfg(feature = "axum")]
            Self::Matched(matched) => matched.as_str().into(),
        }
    }
}
