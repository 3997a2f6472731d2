//! What a call for a job comes to, and what it is to come to while its store is away.
//!
//! Floor 1.

/// What becomes of a job while its store is away, or refuses for a reason that passes (it is out of
/// memory, or a replica), and the job has not begun. What the store refuses for good is an error
/// whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnAway {
    /// [`OnceError::Unavailable`](crate::once::OnceError::Unavailable). The default: nobody can tell
    /// whether it runs elsewhere.
    #[default]
    Error,
    /// [`Outcome::Skipped`], by nobody known.
    Skip,
    /// It runs, once in this process: what the others do nobody knows. How long it counts is kept
    /// in memory meanwhile, and a drain does not stop it.
    RunLocally,
}

/// What became of a job that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<T> {
    /// This call ran it.
    Ran(T),
    /// It is done, and this is what it came to.
    Fresh(T),
    /// Another one runs it.
    Skipped {
        /// The instance; unknown while the store is away, or where it has not said so yet.
        by: Option<String>,
    },
}

impl<T> Outcome<T> {
    /// The result, whoever ran the job.
    #[must_use]
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Ran(value) | Self::Fresh(value) => Some(value),
            Self::Skipped { .. } => None,
        }
    }
}
