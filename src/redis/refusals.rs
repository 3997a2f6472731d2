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

/// So long after the last refusal it is over, whatever was refused: it may never be asked for again.
const FORGOTTEN: Duration = Duration::from_secs(60);

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
    /// All that the server refuses for its state, or the one command that it refuses by itself.
    whats: Vec<Box<[u8]>>,
    of_the_server: bool,
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
        let of_the_server = error.is_of_the_server();
        let what = what(command, script);
        self.any.store(true, Ordering::Relaxed);
        let mut last = self.lock();
        let before = last.take();
        let is_new = before.is_none();
        let together = before.filter(|before| before.of_the_server && of_the_server);
        let mut whats = together.map(|before| before.whats).unwrap_or_default();
        if !whats.iter().any(|known| **known == *what) {
            whats.push(what.into());
        }
        *last = Some(Refusal {
            whats,
            of_the_server,
            reason: Arc::clone(&reason),
            at: Instant::now(),
        });
        drop(last);
        if is_new {
            let address = self.address.as_str();
            tracing::warn!(address, %reason, "Redis refuses what it is asked");
        }
    }

    /// Only a command that was refused proves that it is over: reads are served while writes are refused.
    /// Of those that were refused for one state of the server, any does.
    pub(crate) fn answered(&self, command: &Cmd, script: Option<&str>) {
        if !self.any.load(Ordering::Relaxed) {
            return;
        }
        let is_over = |last: &mut Refusal| {
            let (quiet, what) = (last.at.elapsed(), what(command, script));
            quiet >= FORGOTTEN
                || quiet >= QUIET && last.whats.iter().any(|refused| **refused == *what)
        };
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
