//! The three scripts, and how they are called.
//!
//! Floor 4.

use tokio::time::{Duration, Instant};

use crate::lock::error::LockError;
use crate::lock::lease::{Claim, HAND_OVER, Lease, LeaseTime, Owner};
use crate::lock::lock_key::LockKey;
use crate::lock::redis::adapter::RedisLocks;
use crate::lock::redis::digits::Digits;
use crate::lock::redis::names::{Names, tag};
use crate::lock::redis::reply::{self, Answer, Answered};
use crate::redis::script::{Script, script};

/// Each begins with what is all there is to do while nobody else wants the key.
static ACQUIRE: Script = script!("acquire_free.lua", "hand_over.lua", "acquire.lua");
static RELEASE: Script = script!("release_alone.lua", "hand_over.lua", "release.lua");
static RENEW: Script = script!("renew.lua");

/// How long Redis keeps a lock's value after its lease, for the sake of the fence. The scripts
/// know it too: it is part of the format.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A question for a key, asked under a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) key: &'a LockKey,
    pub(super) token: Owner,
    pub(super) lease: LeaseTime,
    /// What operators are told.
    pub(super) note: &'a str,
    /// Whether to get in line where the key is busy.
    pub(super) line: bool,
}

/// What a release says beside its token.
#[derive(Debug, Default)]
pub(super) struct Parting {
    /// The last fence used, where it was not the grant's.
    pub(super) last: Option<u64>,
    /// Under which token to get in line again.
    pub(super) again: Option<Owner>,
}

impl RedisLocks {
    /// Asks for the key once.
    pub(super) async fn ask(&self, asked: Asked<'_>) -> Result<Answer, LockError> {
        let names = Names::new(self.handle.keyspace(), asked.key);
        let max_waiters = Digits::of(self.max_waiters as u64);
        let most = if asked.line { &*max_waiters } else { b"-1" };
        // Once more where the packet came too late, which can mean that this process's idea of
        // Redis's clock was wrong: the answer has put it right.
        for _ in 0..2 {
            let sent = Instant::now();
            let args: [&[u8]; 7] = [
                &token(asked.token),
                &keep(asked.lease.get()),
                &Digits::of(self.handle.now_ms_at(|| tag(asked.key)) + self.late_ms()),
                self.handle.channel().as_bytes(),
                &keep(HAND_OVER),
                most,
                asked.note.as_bytes(),
            ];
            let reply = self
                .handle
                .run(&ACQUIRE, &names.all(), &args)
                .await
                .map_err(reply::failed)?;
            let (redis_ms, answer) = reply::acquired(reply, sent, asked.lease.get())?;
            self.handle.observe_time(|| tag(asked.key), redis_ms);
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        // Not for good: its clock, or a connection, is a moment behind.
        Err(LockError::refused_for_now(
            "the request reached Redis after its time, twice",
        ))
    }

    /// The lease of the claim's length, and whether others wait; none where it is lost.
    pub(super) async fn renew_token(
        &self,
        claim: &Claim,
        as_whom: Owner,
    ) -> Result<Option<(Lease, bool)>, LockError> {
        let names = Names::new(self.handle.keyspace(), &claim.key);
        let sent = Instant::now();
        let lease = claim.lease.get();
        let args: [&[u8]; 4] = [
            &token(as_whom),
            &keep(lease),
            self.handle.channel().as_bytes(),
            claim.note.as_str().as_bytes(),
        ];
        let reply = self
            .handle
            .run(&RENEW, &names.all(), &args)
            .await
            .map_err(reply::failed)?;
        reply::renewed(&reply, sent, lease)
    }

    /// Lets go under `as_whom`: of the key, or of a place in Redis's line.
    pub(super) async fn give_back(
        &self,
        key: &LockKey,
        as_whom: Owner,
        lease: LeaseTime,
        parting: Parting,
    ) -> Result<Answered, LockError> {
        let names = Names::new(self.handle.keyspace(), key);
        let sent = Instant::now();
        let last = parting.last.map(Digits::of_fence);
        let again = parting.again.map(token);
        let args: [&[u8]; 6] = [
            &token(as_whom),
            self.handle.channel().as_bytes(),
            &keep(HAND_OVER),
            last.as_deref().unwrap_or_default(),
            again.as_ref().map_or(&[], |token| &token[..]),
            &keep(lease.get()),
        ];
        let reply = self
            .handle
            .run(&RELEASE, &names.all(), &args)
            .await
            .map_err(reply::failed)?;
        reply::released(reply, sent, lease.get())
    }

    /// How long an acquire may be under way, before Redis refuses it: longer than anybody
    /// waits for its answer, and the clocks may differ by as much again.
    pub(super) fn late_ms(&self) -> u64 {
        2 * u64::try_from(self.handle.command_timeout().as_millis()).unwrap_or(1_000)
    }
}

/// What names the owner in Redis: format `1`.
pub(super) fn token(owner: Owner) -> [u8; 17] {
    let mut token = [b'1'; 17];
    token[1..].copy_from_slice(owner.as_bytes());
    token
}

/// For how many milliseconds Redis keeps the value of a lock of this lease.
fn keep(lease: Duration) -> Digits {
    millis(lease + DAY)
}

fn millis(time: Duration) -> Digits {
    // Any lease fits.
    Digits::of(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
