//! The name of what is locked.
//!
//! Floor 1.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::config::ConfigError;
use crate::lock::escape::push_hex;

/// The name of what is locked: 1 to 256 bytes of UTF-8, case-sensitive, cheap to clone.
///
/// Any character may appear; backends escape what their own key syntax gives a meaning to.
/// Two keys are the same lock exactly when their bytes are equal.
///
/// ```
/// use tower_handoff::lock::LockKey;
///
/// let key = LockKey::new("nightly-report")?;
/// assert_eq!(key.as_str(), "nightly-report");
/// assert!(LockKey::new("").is_err());
/// # Ok::<(), tower_handoff::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey(Arc<str>);

impl LockKey {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// A key that the application chose.
    ///
    /// # Errors
    /// When `key` is empty or longer than [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(key: impl AsRef<str>) -> Result<Self, ConfigError> {
        let key = key.as_ref();
        if key.is_empty() || key.len() > Self::MAX_BYTES {
            return Err(ConfigError::new(
                "lock key",
                format_args!("{} bytes", key.len()),
                "1 to 256 bytes",
            ));
        }
        Ok(Self(key.into()))
    }

    /// A key that a request influences: one that is too long is replaced by its SHA-256, so
    /// that no request can make a key large, and a long name still locks what it names.
    ///
    /// `None` where `key` is empty.
    ///
    /// ```
    /// use tower_handoff::lock::LockKey;
    ///
    /// assert_eq!(LockKey::bounded("cart:7").unwrap().as_str(), "cart:7");
    /// let long = LockKey::bounded("x".repeat(5000)).unwrap();
    /// assert!(long.as_str().len() <= LockKey::MAX_BYTES);
    /// assert_ne!(long, LockKey::bounded("x".repeat(5001)).unwrap());
    /// ```
    #[must_use]
    pub fn bounded(key: impl AsRef<str>) -> Option<Self> {
        let key = key.as_ref();
        if key.is_empty() {
            return None;
        }
        if key.len() <= Self::MAX_BYTES {
            return Some(Self(key.into()));
        }
        // No rendered template looks like this: after `%` it always has two hexadecimal digits.
        let mut short = String::from("%sha256:");
        for byte in Sha256::digest(key) {
            push_hex(&mut short, byte);
        }
        Some(Self(short.into()))
    }

    /// The key as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first 16 hexadecimal digits of a key's SHA-256: enough to find what belongs together, and of a
/// key that holds a secret nothing that anybody could use, where the secret cannot be guessed: a PIN or
/// an address is found by trying.
#[derive(Debug)]
pub(crate) struct KeyHash<'a>(pub(crate) &'a LockKey);

impl fmt::Display for KeyHash<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = Sha256::digest(self.0.as_str());
        digest
            .iter()
            .take(8)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
