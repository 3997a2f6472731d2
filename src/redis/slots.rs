//! What the users of one connection share among themselves.
//!
//! Floor 3.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::handle::RedisHandle;

/// One value of each type for each handle. This folder need not know what for.
#[derive(Default)]
pub(crate) struct Slots(Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl Slots {
    fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(T::default()));
        // The slot of a type holds nothing else.
        slot.clone().downcast().unwrap_or_default()
    }
}

impl RedisHandle {
    /// The value of this type that all clones of this handle share; made when first asked for.
    ///
    /// It must not hold a handle itself, or neither is ever dropped.
    pub(crate) fn slot<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.slots().get()
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slots(..)")
    }
}
