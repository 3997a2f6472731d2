//! An error whose type somebody else chose.
//!
//! Floor 0.

/// An error whose type the caller chose.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
