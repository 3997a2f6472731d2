//! How a typed value becomes the bytes of a field: JSON.
//! Floor 1.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::session::error::{SessionError, SessionErrorKind};

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, SessionError> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(SessionError::with_source(SessionErrorKind::Encode, error)),
    }
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: Option<Bytes>) -> Result<Option<T>, SessionError> {
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(undecodable::<T>(&error)),
    }
}

/// Says where the value is no `T`. What serde_json says repeats the value, which belongs into no log.
fn undecodable<T>(error: &serde_json::Error) -> SessionError {
    let wanted = std::any::type_name::<T>();
    let what = match error.classify() {
        Category::Data => "a value of another type",
        Category::Io | Category::Syntax | Category::Eof => "no JSON",
    };
    let column = error.column();
    let place = format!("{what} at column {column}, where {wanted} was wanted");
    SessionError::with_source(SessionErrorKind::Decode, place)
}
