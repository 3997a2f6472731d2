//! A key from the parameters of the matched route.
//!
//! Floor 3.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::config::ConfigError;
use crate::lock::key::source::{KeyFrom, KeyFuture};
use crate::lock::template::Template;

/// The key that `template` makes of the matched route's parameters: `order:{id}`.
///
/// Works where axum has matched the route: in `.layer(…)` on a method router or a handler, in
/// `route_layer`, and under `nest`, whose parameters are there too. Parameters are taken
/// percent-decoded and then escaped, so `a%2Fb` and `a%2fb` in a path are the same key.
///
/// # Panics
/// When the template is malformed, like
/// [`HeaderValue::from_static`](http::HeaderValue::from_static): at construction, with the
/// reason. For templates that come from elsewhere see [`template`].
#[must_use]
pub fn path(template: &'static str) -> PathKey {
    match Template::parse(template) {
        Ok(template) => PathKey(template),
        Err(error) => panic!("{error}"),
    }
}

/// [`path`] for a template that is known only at run time.
///
/// # Errors
/// When there is no `{name}` in the template or a brace has no partner; when two values have no
/// character between them that escaped values never contain, so that two requests could meet in
/// one key; when it is longer than 256 bytes.
pub fn template(template: impl AsRef<str>) -> Result<PathKey, ConfigError> {
    Template::parse(template.as_ref()).map(PathKey)
}

/// The source that [`path`] and [`template`] make.
#[derive(Debug, Clone)]
pub struct PathKey(Template);

impl KeyFrom for PathKey {
    fn key(&self, parts: &mut Parts) -> KeyFuture {
        let params = {
            let params = pin!(RawPathParams::from_request_parts(parts, &()));
            // It only looks into the extensions, so the first poll answers.
            match params.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(params)) => Some(params),
                // The client's mistake, not the application's.
                Poll::Ready(Err(RawPathParamsRejection::InvalidUtf8InPathParam(_))) => {
                    return KeyFuture::ready(Ok(None));
                }
                Poll::Ready(Err(_)) | Poll::Pending => None,
            }
        };
        let value = |name: &str| {
            let (_, value) = params.as_ref()?.iter().find(|(known, _)| *known == name)?;
            Some(value.as_bytes())
        };
        KeyFuture::ready(Ok(match self.0.render(value) {
            Ok(key) => Some(key),
            Err(name) => {
                if value(name).is_none() {
                    tracing::error!(
                        name,
                        "a lock's template names a parameter that the route lacks"
                    );
                }
                None
            }
        }))
    }
}
