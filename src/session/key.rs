//! What a field is called, and, where a key says so, what it holds.
//! Floor 1.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::BoxError;
use crate::codec::{Decode, Encode, Json};

use crate::session::limits::is_name;

/// The name of a field that holds a `T`, in format `C`. Declared once, it keeps every handler from
/// writing one type and reading another.
///
/// Taken wherever [`Session`](crate::session::Session) takes a name. A `Key<String>` is set from a
/// `&str`, a `Key<Vec<T>>` from a slice.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tower_handoff::session::{Key, Session, SessionError};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Cart {
///     items: Vec<u32>,
/// }
///
/// const CART: Key<Cart> = Key::new("cart");
/// const NOTICE: Key<String> = Key::new("notice");
///
/// async fn add(session: Session, item: u32) -> Result<(), SessionError> {
///     let mut cart = session.get(CART).await?.unwrap_or_default();
///     cart.items.push(item);
///     session.set(CART, &cart)?;
///     session.set(NOTICE, "It is in your cart.")
/// }
/// ```
///
/// Another type does not compile:
///
/// ```compile_fail,E0277
/// # use tower_handoff::session::{Key, Session, SessionError};
/// const VISITS: Key<i64> = Key::new("visits");
///
/// fn wrong(session: &Session) -> Result<(), SessionError> {
///     session.set(VISITS, "seven")
/// }
/// ```
pub struct Key<T, C = Json> {
    name: &'static str,
    holds: PhantomData<fn() -> (T, C)>,
}

impl<T, C> Key<T, C> {
    /// A key for the field called `name`.
    ///
    /// # Panics
    /// Where `name` is empty, longer than 128 bytes, or begins with a zero byte. In a `const` that
    /// is an error of the compiler's:
    ///
    /// ```compile_fail,E0080
    /// # use tower_handoff::session::Key;
    /// const NAMELESS: Key<u8> = Key::new("");
    /// ```
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        assert!(
            is_name(name),
            "a field's name has 1 to 128 bytes, the first of them not zero"
        );
        Self {
            name,
            holds: PhantomData,
        }
    }

    /// The field's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T, C> Clone for Key<T, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, C> Copy for Key<T, C> {}

impl<T, C> fmt::Debug for Key<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// What names a field: a [`Key`], or a reference to a string, `&str`, `&String` and the like.
///
/// Implemented by nothing else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a field of a session",
    note = "a field is named by a `Key` or by a reference to a string; `&*name` may make one"
)]
pub trait FieldName: Copy + Send + Sync + sealed::Sealed {
    /// The name.
    fn as_str(&self) -> &str;
}

/// What names a field that holds a `T`: a [`Key<T>`](Key); a string names one of any type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a field that holds `{T}`",
    note = "a field is named by a `Key<{T}>` or by a reference to a string; `&*name` may make one"
)]
pub trait FieldOf<T>: FieldName {
    #[doc(hidden)]
    fn decode(&self, bytes: &Bytes) -> Result<T, BoxError>;
}

/// What names a field that may be set to a `T`: a [`Key`] for this type, or for one that borrows
/// as it; a string names one of any type.
#[diagnostic::on_unimplemented(
    message = "the field that `{Self}` names cannot be set to `{T}`",
    note = "a field is named by a `Key<{T}>` or by a reference to a string; `&*name` may make one"
)]
pub trait FieldFor<T: ?Sized>: FieldName {
    #[doc(hidden)]
    fn encode(&self, value: &T) -> Result<Bytes, BoxError>;
}

impl<S: AsRef<str> + Sync + ?Sized> FieldName for &S {
    fn as_str(&self) -> &str {
        self.as_ref()
    }
}

impl<S: AsRef<str> + Sync + ?Sized, T: DeserializeOwned> FieldOf<T> for &S {
    fn decode(&self, bytes: &Bytes) -> Result<T, BoxError> {
        Json::decode(bytes)
    }
}

impl<S: AsRef<str> + Sync + ?Sized, T: Serialize + ?Sized> FieldFor<T> for &S {
    fn encode(&self, value: &T) -> Result<Bytes, BoxError> {
        Json::encode(value)
    }
}

impl<T, C> FieldName for Key<T, C> {
    fn as_str(&self) -> &str {
        self.name
    }
}

impl<T, C: Decode<T>> FieldOf<T> for Key<T, C> {
    fn decode(&self, bytes: &Bytes) -> Result<T, BoxError> {
        C::decode(bytes)
    }
}

impl<T: Borrow<V>, C: Encode<V>, V: ?Sized> FieldFor<V> for Key<T, C> {
    fn encode(&self, value: &V) -> Result<Bytes, BoxError> {
        C::encode(value)
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to implement it")]
    pub trait Sealed {}
    impl<S: AsRef<str> + ?Sized> Sealed for &S {}
    impl<T, C> Sealed for super::Key<T, C> {}
}
