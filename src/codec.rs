//! How a typed value becomes the bytes of a field.
//! Floor 0.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::BoxError;

/// A format that can write a `T`, for the second parameter of a [`Key`](crate::session::Key).
///
/// The format is part of a field's declaration and not an option of the layer: while old and new
/// instances run side by side, each field means the same to all of them. To change a field's
/// format, give it another name.
///
/// ```
/// use bytes::Bytes;
/// use tower_handoff::BoxError;
/// use tower_handoff::session::{Decode, Encode, Key};
///
/// /// Whole numbers in eight bytes. With serde, a format is these two lines for all types.
/// #[derive(Debug)]
/// enum Packed {}
///
/// impl Encode<u64> for Packed {
///     fn encode(value: &u64) -> Result<Bytes, BoxError> {
///         Ok(Bytes::copy_from_slice(&value.to_be_bytes()))
///     }
/// }
///
/// impl Decode<u64> for Packed {
///     fn decode(bytes: &Bytes) -> Result<u64, BoxError> {
///         Ok(u64::from_be_bytes(bytes[..].try_into()?))
///     }
/// }
///
/// const LAST_SEEN: Key<u64, Packed> = Key::new("last-seen");
/// ```
pub trait Encode<T: ?Sized> {
    /// The bytes to store.
    ///
    /// # Errors
    /// Where the value has no such form. The error must not show the value.
    fn encode(value: &T) -> Result<Bytes, BoxError>;
}

/// A format that can read a `T`; see [`Encode`].
pub trait Decode<T> {
    /// The value in these bytes.
    ///
    /// Must never panic: what is stored may come from another version, or be damaged.
    ///
    /// # Errors
    /// Where the bytes are no `T`. The error must not show them.
    fn decode(bytes: &Bytes) -> Result<T, BoxError>;
}

/// JSON, for every type that serde knows. The default.
#[derive(Debug)]
#[non_exhaustive]
pub enum Json {}

impl<T: Serialize + ?Sized> Encode<T> for Json {
    fn encode(value: &T) -> Result<Bytes, BoxError> {
        Ok(serde_json::to_vec(value)?.into())
    }
}

impl<T: DeserializeOwned> Decode<T> for Json {
    fn decode(bytes: &Bytes) -> Result<T, BoxError> {
        serde_json::from_slice(bytes).map_err(|error| undecodable::<T>(&error).into())
    }
}

/// Bytes as they are: 64 KiB cost 64 KiB, and reading them copies nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Raw {}

impl Encode<Bytes> for Raw {
    fn encode(value: &Bytes) -> Result<Bytes, BoxError> {
        Ok(value.clone())
    }
}

impl Decode<Bytes> for Raw {
    fn decode(bytes: &Bytes) -> Result<Bytes, BoxError> {
        Ok(bytes.clone())
    }
}

/// Says where the value is no `T`. What serde_json says repeats the value, which belongs into no log.
fn undecodable<T>(error: &serde_json::Error) -> String {
    let wanted = std::any::type_name::<T>();
    let what = match error.classify() {
        Category::Data => "a value of another type",
        Category::Io | Category::Syntax | Category::Eof => "no JSON",
    };
    let column = error.column();
    format!("{what} at column {column}, where {wanted} was wanted")
}
