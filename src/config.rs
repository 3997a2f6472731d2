//! The one error of everything that is configured.
//!
//! Floor 0.

use std::borrow::Cow;
use std::fmt;

/// A setting that cannot be accepted: names the option, the value and what is accepted.
///
/// Returned at construction, so a wrong setting stops a service before its first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    option: Cow<'static, str>,
    value: String,
    accepted: Cow<'static, str>,
}

impl ConfigError {
    /// An error for `option`, which was given `value` where only `accepted` works.
    ///
    /// `value` is shown as it is: mask what is secret before it comes here.
    pub fn new(
        option: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        accepted: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            option: option.into(),
            value: value.to_string(),
            accepted: accepted.into(),
        }
    }

    /// The option's name, as the setter or the variable spells it.
    #[must_use]
    pub fn option(&self) -> &str {
        &self.option
    }

    /// The value that was refused.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What would have been accepted.
    #[must_use]
    pub fn accepted(&self) -> &str {
        &self.accepted
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            option,
            value,
            accepted,
        } = self;
        write!(f, "{option} is {value:?}; accepted: {accepted}")
    }
}

impl std::error::Error for ConfigError {}
