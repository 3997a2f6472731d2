//! What a loss means to who works under the lock.
//!
//! Floor 1.

/// What becomes of a handler, or of the work of [`Locks::with`](crate::lock::Locks::with), whose
/// lock is lost while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnLost {
    /// It goes on, and can see it in its guard. The default: dropping a handler at an arbitrary
    /// await can do more harm than a write that a fence refuses.
    #[default]
    Signal,
    /// It is dropped where it waits, before anybody else can hold the lock, and the client gets
    /// 500 with [`Reason::LockLost`](crate::Reason::LockLost) and no `Retry-After`, because the
    /// outcome is unknown. A body that already streams goes on.
    Stop,
}
