//! Whether Redis, though it answers, refuses what it is asked: said once a change, and not for each
//! command.
//!
//! Floor 3.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Arg, Cmd};
use tokio::time::Instant;

use super::error::RedisError;

/// A Redis that refuses now this, now that is not well; it is after so long without a refusal.
const QUIET: Duration = Duration::from_secs(1);

/// What was refused last for a reason that lies with the server or the user, on one connection.
#[derive(Debug)]
pub(crate) struct Refusals {
    address: String,
    // One relaxed load a reply. It guards no data.
    any: AtomicBool,
    last: Mutex<Option<Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    what: Box<[u8]>,
    reason: Arc<str>,
    at: Instant,
}

impl Refusals {
    /// `address` is for the log.
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            any: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    /// What Redis said, if it still refuses as far as anybody knows.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.lock().as_ref()?.reason))
    }

    /// `script` is the text of the script that the command names by its digest.
    pub(crate) fn refused(&self, command: &Cmd, script: Option<&str>, error: &RedisError) {
        if !error.concerns_all() {
            return;
        }
        let reason: Arc<str> = error.to_string().into();
        let refusal = Refusal {
            what: what(command, script).into(),
            reason: Arc::clone(&reason),
            at: Instant::now(),
        };
        self.any.store(true, Ordering::Relaxed);
        if self.lock().replace(refusal).is_none() {
            let address = self.address.as_str();
            tracing::warn!(address, %reason, "Redis refuses what it is asked");
        }
    }

    /// Only the same command proves that it is over: reads are served while writes are refused.
    pub(crate) fn answered(&self, command: &Cmd, script: Option<&str>) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let is_over =
            |last: &mut Refusal| last.at.elapsed() >= QUIET && *last.what == *what(command, script);
        if self.lock().take_if(is_over).is_some() {
            self.any.store(false, Ordering::Relaxed);
            let address = self.address.as_str();
            tracing::info!(address, "Redis no longer refuses what it is asked");
        }
    }

    /// Of another connection nothing is known yet.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
        self.any.store(false, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Refusal>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The script, however it is named, or the command's name.
fn what<'a>(command: &'a Cmd, script: Option<&'a str>) -> &'a [u8] {
    let word = |at| match command.args_iter().nth(at) {
        Some(Arg::Simple(word)) => word,
        _ => &[],
    };
    match script {
        Some(text) => text.as_bytes(),
        None if word(0) == b"EVAL" => word(1),
        None => word(0),
    }
}
