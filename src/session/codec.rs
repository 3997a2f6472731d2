//! How a typed value becomes the bytes of a field: JSON.
//! Floor 1.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
        Err(error) => Err(SessionError::with_source(SessionErrorKind::Decode, error)),
    }
}
