//! What runs jobs, and its options.
//!
//! Floor 7.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{Decode, Encode, Json, Raw};
use crate::config::ConfigError;
use crate::instance::{checked_id, random_id};
use crate::lock::error::{LockError, LockErrorKind};
use crate::lock::guard::LockGuard;
use crate::lock::lease::LeaseTime;
use crate::lock::on_lost::OnLost;
use crate::lock::terms::MAX_WAIT;
use crate::once::entry::{Entry, Place, Refused};
use crate::once::error::OnceError;
use crate::once::job::Job;
use crate::once::memory::MemoryOnce;
use crate::once::outcome::{OnAway, Outcome};
use crate::once::store::OnceStore;
use crate::telemetry::names::OnceRuns;
use crate::telemetry::record::count;

/// Runs jobs in at most one instance at a time; cheap to clone. See the [module](crate::once).
///
/// **Cost**, with Redis: to find it done, one read. To run it: one read and four scripts, the last
/// of which nobody waits for, and one more for each third of a lease that it lasts. To find
/// another one at work: two reads and a script, more of them where that one has not yet said who
/// it is. To wait for another one: the place in line. Those of one process who ask for the same job
/// at a time share their reads, and whoever of them learns of the result tells the others.
#[derive(Debug, Clone)]
#[must_use]
pub struct Once {
    place: Place,
    away: Away,
    by: Arc<str>,
    lease: LeaseTime,
    wait: Option<Duration>,
    on_lost: OnLost,
    max_bytes: usize,
}

#[derive(Debug, Clone)]
enum Away {
    Error,
    Skip,
    Locally(Place),
}

impl Once {
    /// The largest result unless told otherwise.
    pub const DEFAULT_MAX_BYTES: usize = 64 * 1024;

    /// Runs jobs that are kept in `store`.
    pub fn new(store: impl OnceStore) -> Self {
        Self {
            place: Place::new(store),
            away: Away::Error,
            by: random_id().into(),
            lease: LeaseTime::DEFAULT,
            wait: None,
            on_lost: OnLost::Stop,
            max_bytes: Self::DEFAULT_MAX_BYTES,
        }
    }

    /// What the others are told about who runs a job. Default: 12 random characters.
    ///
    /// # Errors
    /// When `id` is not of 1 to 64 visible ASCII characters.
    pub fn with_instance_id(mut self, id: impl Into<String>) -> Result<Self, ConfigError> {
        self.by = checked_id(id)?.into();
        Ok(self)
    }

    /// How long an instance that died keeps a job from the others; a living one renews it. Default
    /// 10 s.
    ///
    /// # Errors
    /// When `lease` is shorter than 100 ms or longer than 24 h.
    pub fn with_lease(mut self, lease: Duration) -> Result<Self, ConfigError> {
        self.lease = LeaseTime::new(lease)?;
        Ok(self)
    }

    /// How long to wait for another one that runs the job, for its result or else to run it here.
    /// Default: not at all. More may wait in a process than find a place in line: the others hear of a
    /// result that this process learns of, and look for a place once a second.
    ///
    /// # Errors
    /// When `wait` is zero or longer than ten minutes.
    pub fn with_wait(mut self, wait: Duration) -> Result<Self, ConfigError> {
        if wait.is_zero() || wait > MAX_WAIT {
            return Err(ConfigError::new(
                "wait",
                format_args!("{wait:?}"),
                "more than zero, at most 10 min",
            ));
        }
        self.wait = Some(wait);
        Ok(self)
    }

    /// What becomes of a job while the store is away. Default: an error.
    pub fn with_on_away(mut self, on_away: OnAway) -> Self {
        self.away = match on_away {
            OnAway::Error => Away::Error,
            OnAway::Skip => Away::Skip,
            OnAway::RunLocally => Away::Locally(Place::new(MemoryOnce::new())),
        };
        self
    }

    /// What becomes of a job that loses its lease while it runs. Default: it is stopped, that is
    /// dropped where it waits. Told only, it goes on; its result is not kept either way.
    pub fn with_on_lost(mut self, on_lost: OnLost) -> Self {
        self.on_lost = on_lost;
        self
    }

    /// How large a result may be, encoded. Default 64 KiB.
    ///
    /// A read carries the whole of it. The clones of one `Once` have one read of a job under way at a
    /// time, however many ask; of different jobs as many as there are. With Redis all of them come over one
    /// connection, which counts as one of `pubsub` where anybody waits for a lock: what is on its way
    /// has to stay below `client-output-buffer-limit pubsub`, 32 MiB at once and 8 MiB for a minute
    /// unless configured, or Redis cuts the connection, and sessions and locks wait for the next one.
    /// So keep large results elsewhere, and their names here.
    ///
    /// # Errors
    /// When `max` is zero or more than 16 MiB.
    pub fn with_max_bytes(mut self, max: usize) -> Result<Self, ConfigError> {
        if !(1..=16 << 20).contains(&max) {
            return Err(ConfigError::new("max_bytes", max, "1 to 16777216"));
        }
        self.max_bytes = max;
        Ok(self)
    }

    /// Runs `work` unless the job is done or runs elsewhere. Its result is kept as JSON.
    ///
    /// `work` is given the lock that it runs under: [`lost`](LockGuard::lost) for what has to be
    /// cleaned up, [`fence`](LockGuard::fence) for what it writes to. Where it lets go of the lock
    /// itself, its result is not kept.
    ///
    /// # Errors
    /// See [`OnceError`]. A job that has failed or panicked is free again at once, for whoever asks
    /// next.
    ///
    /// # Cancel safety
    /// Dropped, it stops the job where it waits, and frees it within a round trip; dropped while
    /// the result is being kept, the job may be free or done.
    pub async fn run<T, E, F>(
        &self,
        job: &Job,
        work: impl FnOnce(LockGuard) -> F,
    ) -> Result<Outcome<T>, OnceError<E>>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, E>>,
    {
        counted(self.run_as::<Json, T, E, F>(job, work).await)
    }

    /// As [`run`](Self::run), for a result that is bytes already: reading it copies nothing.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As for [`run`](Self::run).
    pub async fn run_bytes<E, F>(
        &self,
        job: &Job,
        work: impl FnOnce(LockGuard) -> F,
    ) -> Result<Outcome<Bytes>, OnceError<E>>
    where
        F: Future<Output = Result<Bytes, E>>,
    {
        counted(self.run_as::<Raw, Bytes, E, F>(job, work).await)
    }

    async fn run_as<C, T, E, F>(
        &self,
        job: &Job,
        work: impl FnOnce(LockGuard) -> F,
    ) -> Result<Outcome<T>, OnceError<E>>
    where
        C: Encode<T> + Decode<T>,
        F: Future<Output = Result<T, E>>,
    {
        let (place, entry) = match self.enter(job).await {
            Ok(entered) => entered,
            Err(Refused::Unavailable(error)) => return Err(OnceError::Unavailable(error)),
            Err(Refused::Draining) => return Err(OnceError::Draining),
        };
        let lock = match entry {
            Entry::Inside(lock) => lock,
            Entry::Elsewhere(by) => return Ok(Outcome::Skipped { by }),
            Entry::Done(result) => {
                let decoded = C::decode(&result).map_err(OnceError::Undecodable)?;
                return Ok(Outcome::Fresh(decoded));
            }
        };
        // From here on a return, a panic and a drop all let go of the lock.
        let result = work(LockGuard::clone(&lock));
        let result = self.while_held(&lock, result).await?;
        let encoded = C::encode(&result).map_err(OnceError::Unencodable)?;
        if encoded.len() > self.max_bytes {
            return Err(OnceError::TooLarge {
                bytes: encoded.len(),
                max: self.max_bytes,
            });
        }
        place
            .keep(&lock, encoded, job.fresh())
            .await
            .map_err(|error| match error.kind() {
                LockErrorKind::Lost | LockErrorKind::Released => OnceError::Lost(error),
                _ => OnceError::NotKept(error),
            })?;
        Ok(Outcome::Ran(result))
    }

    async fn enter(&self, job: &Job) -> Result<(&Place, Entry), Refused> {
        let key = &job.key();
        let enter = |place| async move {
            let entry = Place::enter(place, key, self.lease, self.wait, &self.by).await?;
            Ok((place, entry))
        };
        match enter(&self.place).await {
            // What nobody can be asked is not begun here either.
            Err(Refused::Unavailable(_)) if self.place.is_closed() => Err(Refused::Draining),
            Err(Refused::Unavailable(error)) if error.may_pass() => match &self.away {
                Away::Error => Err(Refused::Unavailable(error)),
                Away::Skip => {
                    tracing::debug!(key = %key, %error, "a job is skipped: its store is away");
                    Ok((&self.place, Entry::Elsewhere(None)))
                }
                Away::Locally(local) => {
                    tracing::warn!(key = %key, %error, "a job is this process's own: its store is away");
                    enter(local).await
                }
            },
            entered => entered,
        }
    }

    /// Runs the job, for as long as its lease lasts where it is to be stopped.
    async fn while_held<T, E>(
        &self,
        lock: &LockGuard,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, OnceError<E>> {
        let done = match self.on_lost {
            OnLost::Signal => Some(work.await),
            OnLost::Stop => lock.watch().run(work).await,
        };
        match done {
            Some(done) => done.map_err(OnceError::Job),
            None => Err(OnceError::Lost(LockError::lost())),
        }
    }
}

fn counted<T, E>(ended: Result<Outcome<T>, OnceError<E>>) -> Result<Outcome<T>, OnceError<E>> {
    count(match &ended {
        Ok(Outcome::Ran(_)) => OnceRuns::Ran,
        Ok(Outcome::Fresh(_)) => OnceRuns::Fresh,
        Ok(Outcome::Skipped { .. }) => OnceRuns::Skipped,
        Err(OnceError::Job(_)) => OnceRuns::Failed,
        Err(OnceError::Lost(_)) => OnceRuns::Lost,
        Err(OnceError::Unavailable(_)) => OnceRuns::Unavailable,
        Err(OnceError::Draining) => OnceRuns::Draining,
        Err(
            OnceError::NotKept(_)
            | OnceError::TooLarge { .. }
            | OnceError::Unencodable(_)
            | OnceError::Undecodable(_),
        ) => OnceRuns::Unusable,
    });
    ended
}
