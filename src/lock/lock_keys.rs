//! What is locked together.
//!
//! Floor 1.

use std::collections::BTreeSet;
use std::fmt;
use std::slice;
use std::sync::Arc;

use crate::config::ConfigError;
use crate::lock::lock_key::LockKey;

/// 1 to 16 different keys that are locked together: all of them or none.
///
/// They are sorted, and taken in that order, so that no two who want some of the same keys wait
/// for each other.
///
/// ```
/// use tower_handoff::lock::{LockKey, LockKeys};
///
/// let (from, to) = (LockKey::new("account:7")?, LockKey::new("account:3")?);
/// let keys = LockKeys::new([from.clone(), to.clone(), from.clone()])?;
/// assert_eq!(keys.as_slice(), [to, from]);
/// assert!(LockKeys::new([]).is_err());
/// # Ok::<(), tower_handoff::ConfigError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LockKeys(Keys);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Keys {
    One(LockKey),
    Several(Arc<[LockKey]>),
}

impl LockKeys {
    /// The most keys.
    pub const MAX: usize = 16;

    /// These keys, each once.
    ///
    /// # Errors
    /// When there is none, or more than [`MAX`](Self::MAX) different ones.
    pub fn new(keys: impl IntoIterator<Item = LockKey>) -> Result<Self, ConfigError> {
        let error = |count| ConfigError::new("lock keys", count, "1 to 16 different keys");
        let mut sorted = BTreeSet::new();
        for key in keys {
            sorted.insert(key);
            if sorted.len() > Self::MAX {
                return Err(error("more than 16 keys"));
            }
        }
        match sorted.len() {
            0 => Err(error("no key")),
            1 => Ok(Self(Keys::One(
                sorted.into_iter().next().ok_or_else(|| error("no key"))?,
            ))),
            _ => Ok(Self(Keys::Several(sorted.into_iter().collect()))),
        }
    }

    /// The keys, sorted by their bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[LockKey] {
        match &self.0 {
            Keys::One(key) => slice::from_ref(key),
            Keys::Several(keys) => keys,
        }
    }
}

impl From<LockKey> for LockKeys {
    fn from(key: LockKey) -> Self {
        Self(Keys::One(key))
    }
}

impl From<&LockKey> for LockKeys {
    fn from(key: &LockKey) -> Self {
        key.clone().into()
    }
}

impl From<&LockKeys> for LockKeys {
    fn from(keys: &LockKeys) -> Self {
        keys.clone()
    }
}

impl fmt::Debug for LockKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.as_slice()).finish()
    }
}
