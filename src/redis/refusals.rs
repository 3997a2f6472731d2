//! What Redis, though it answers, refuses: each thing said once where it begins and once where it ends,
//! and not for each command.
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

/// So many are told apart: all scripts of this library, and some. Further ones are told their callers.
const MOST: usize = 24;

/// What is refused for reasons that lie with the server or the user, on one connection.
///
/// A state of the server is one thing whatever it refuses, and each command that is refused by itself is
/// another: one that is refused for ever hides nothing.
#[derive(Debug)]
pub(crate) struct Refusals {
    address: String,
    // One relaxed load a reply. It guards no data.
    any: AtomicBool,
    /// The server's first, the others in the order in which they began.
    all: Mutex<Vec<Refusal>>,
}

#[derive(Debug)]
struct Refusal {
    /// All that the server refuses for its state, or the one command that it refuses by itself.
    whats: Vec<Box<[u8]>>,
    of_the_server: bool,
    /// It was asked for to learn this, and nobody else may ask for a long time.
    lasts: bool,
    code: Option<Box<str>>,
    reason: Arc<str>,
    at: Instant,
}

impl Refusals {
    /// `address` is for the log.
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            any: AtomicBool::new(false),
            all: Mutex::default(),
        }
    }

    /// What Redis said, if it still refuses as far as anybody knows: of the server's state before all
    /// others, then of what has been refused for longest.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        Some(Arc::clone(&self.lock().first()?.reason))
    }

    /// `script` is the text of the script that the command names by its digest.
    pub(crate) fn refused(&self, command: &Cmd, script: Option<&str>, error: &RedisError) {
        if !error.concerns_all() {
            return;
        }
        let names = names(command, script);
        let refusal = Refusal {
            whats: vec![names[0].into()],
            of_the_server: error.is_of_the_server(),
            lasts: false,
            code: error.code().map(Into::into),
            reason: error.to_string().into(),
            at: Instant::now(),
        };
        self.note(refusal, names);
    }

    /// That this user may not send a command, as was found out where the connection began. Over when the
    /// command is answered.
    pub(crate) fn lacks(&self, command: &'static str, reason: &str) {
        let command = command.as_bytes();
        let refusal = Refusal {
            whats: vec![command.into()],
            of_the_server: false,
            lasts: true,
            code: Some("NOPERM".into()),
            reason: reason.into(),
            at: Instant::now(),
        };
        self.note(refusal, [command; 2]);
    }

    fn note(&self, refusal: Refusal, names: [&[u8]; 2]) {
        let reason = Arc::clone(&refusal.reason);
        let mut all = self.lock();
        self.any.store(true, Ordering::Relaxed);
        let has_room = all.len() < MOST;
        let known = all.iter_mut().find(|known| {
            known.of_the_server == refusal.of_the_server
                && (refusal.of_the_server || known.is_of(names))
        });
        let is_new = match known {
            Some(known) => known.goes_on(refusal, names[0]),
            None if refusal.of_the_server => {
                all.insert(0, refusal);
                true
            }
            None if has_room => {
                all.push(refusal);
                true
            }
            None => false,
        };
        drop(all);
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
        let names = names(command, script);
        let mut all = self.lock();
        let over: Vec<_> = all.extract_if(.., |known| known.is_over(names)).collect();
        self.any.store(!all.is_empty(), Ordering::Relaxed);
        drop(all);
        for Refusal { reason, .. } in over {
            let address = self.address.as_str();
            tracing::info!(address, %reason, "Redis no longer refuses what it is asked");
        }
    }

    /// Of another connection nothing is known yet.
    pub(crate) fn forget(&self) {
        self.lock().clear();
        self.any.store(false, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Refusal>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    fn is_of(&self, names: [&[u8]; 2]) -> bool {
        self.whats.iter().any(|what| names.contains(&&**what))
    }

    /// It was refused again; whether for a reason that nobody has heard of.
    fn goes_on(&mut self, again: Refusal, what: &[u8]) -> bool {
        self.at = again.at;
        if self.of_the_server && !self.is_of([what; 2]) {
            self.whats.push(what.into());
        }
        let is_new = self.code != again.code;
        // What is known from the beginning says more.
        if is_new || !self.lasts {
            self.reason = again.reason;
        }
        self.code = again.code;
        is_new
    }

    /// Whether an answer to one of these names ends it.
    fn is_over(&self, names: [&[u8]; 2]) -> bool {
        let quiet = self.at.elapsed();
        quiet >= FORGOTTEN && !self.lasts || quiet >= QUIET && self.is_of(names)
    }
}

/// The script, however it is named, or the command; and the command's name in either case.
fn names<'a>(command: &'a Cmd, script: Option<&'a str>) -> [&'a [u8]; 2] {
    let word = |at| match command.args_iter().nth(at) {
        Some(Arg::Simple(word)) => word,
        _ => &[],
    };
    match script {
        Some(text) => [text.as_bytes(), word(0)],
        None if word(0) == b"EVAL" => [word(1), word(0)],
        None => [word(0); 2],
    }
}
