//! A master by its name: sentinels say where it is, and when it is another one.

pub(crate) mod ask;
pub(crate) mod survey;
pub(crate) mod url;
