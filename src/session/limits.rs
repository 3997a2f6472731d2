//! How much a session may hold, and what a field may be called.
//! Floor 1.

use crate::config::ConfigError;
use crate::session::error::{SessionError, SessionErrorKind};

/// Longest name of a field, in bytes.
const NAME_MAX: usize = 128;
/// The most a limit may be set to.
const LIMIT_MAX: usize = 16 * 1024 * 1024;

/// How many bytes a field and a session may hold.
///
/// The default is 8 KiB a field and 16 KiB a session, counting what is stored: encoded values,
/// names, and five bytes a field. Mind when raising it that a write which meets another write
/// merges inside Redis: merging 64 KiB keeps Redis busy for about 0.3 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    field: usize,
    session: usize,
}

impl SessionLimits {
    /// Limits in bytes.
    ///
    /// # Errors
    /// Where one is zero or above 16 MiB.
    pub fn new(field: usize, session: usize) -> Result<Self, ConfigError> {
        for (option, value) in [("field limit", field), ("session limit", session)] {
            if value == 0 || value > LIMIT_MAX {
                let accepted = "1 to 16777216 bytes";
                return Err(ConfigError::new(option, value, accepted));
            }
        }
        Ok(Self { field, session })
    }

    /// The longest value of one field, in bytes.
    #[must_use]
    pub fn field(&self) -> usize {
        self.field
    }

    /// The most that all fields of one session may take, in bytes.
    #[must_use]
    pub fn session(&self) -> usize {
        self.session
    }

    /// Refuses a value that is too long.
    pub(crate) fn check_value(&self, value: &[u8]) -> Result<(), SessionError> {
        if value.len() > self.field {
            return Err(SessionErrorKind::TooLarge.into());
        }
        Ok(())
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            field: 8 * 1024,
            session: 16 * 1024,
        }
    }
}

/// Whether a field may be called this: 1 to 128 bytes. A leading zero byte is the crate's own.
pub(crate) const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && bytes.len() <= NAME_MAX && bytes[0] != 0
}

pub(crate) fn is_reserved(name: &[u8]) -> bool {
    name.first() == Some(&0)
}

pub(crate) fn check_name(name: &str) -> Result<(), SessionError> {
    if is_name(name) {
        Ok(())
    } else {
        Err(SessionErrorKind::InvalidName.into())
    }
}
