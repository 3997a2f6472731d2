//! What `save.lua` is told and what it replies.
//! Floor 4.

use ::redis::Value;
use bytes::Bytes;

use crate::session::error::StoreError;
use crate::session::expiry::renewal_is_due;
use crate::session::head::{flags_of, persistent_of};
use crate::session::record::{SessionRecord, Version};
use crate::session::redis::reply::{ABSENT, refused, surprise};
use crate::session::save::{Plan, Save, SaveOutcome, Saved};
use crate::session::token::VerifierHash;

/// Plan, verifier, two versions, limit, time.
const PACKED: usize = 1 + VerifierHash::BYTES + 2 * Version::BYTES + 4 + 8;

/// The arguments of one run. The script's comment says what each means.
pub(super) struct SaveRequest<'a> {
    /// The session as it was read, where it may be replaced without another look at it.
    mark: &'a [u8],
    whole: Vec<u8>,
    packed: [u8; PACKED],
    /// Names to cut, then new fields.
    delta: Vec<u8>,
    names: usize,
    add: Option<(&'a str, String)>,
    special: Option<Special<'a>>,
}

/// What changes beside fields: the secret, the session's terms.
struct Special<'a> {
    next: &'a [u8],
    idle: String,
    absolute: String,
    user: String,
    label: String,
    flags: String,
}

impl<'a> SaveRequest<'a> {
    pub(super) fn new(save: &'a Save<'_>, now_ms: u64) -> Self {
        let (plan, base) = match save.plan {
            Plan::Merge => (b'M', None),
            Plan::ReplaceOrMerge(base) => (b'W', Some(base)),
            Plan::ReplaceOrReport(base) => (b'C', Some(base)),
            Plan::Add { .. } => (b'A', None),
        };
        let whole = base.map_or_else(Vec::new, |base| save.whole(base));
        let mark = base.filter(|base| {
            let grows = whole.len() > base.as_bytes().len();
            let fits = !grows || whole.len() - base.head().len() <= save.limit;
            let due = renewal_is_due(base.seen_ms(), base.idle_ms(), now_ms);
            fits && !due && !save.is_special()
        });
        let mut delta = Vec::with_capacity(save.changes.size());
        for name in save.changes.names() {
            delta.push(name.len() as u8);
            delta.extend_from_slice(name.as_bytes());
        }
        let names = delta.len();
        save.changes.push_new(&mut delta);
        Self {
            mark: mark.map_or(&[], SessionRecord::mark),
            packed: packed(plan, save, base, now_ms),
            whole,
            delta,
            names,
            add: match save.plan {
                Plan::Add { name, by } => Some((name, by.to_string())),
                _ => None,
            },
            special: save.is_special().then(|| Special::new(save)),
        }
    }

    /// As few as say it all: each of them costs Redis.
    pub(super) fn with_arguments<T>(&self, run: impl FnOnce(&[&[u8]]) -> T) -> T {
        let (names, new) = self.delta.split_at(self.names);
        let (name, by) = match &self.add {
            Some((name, by)) => (name.as_bytes(), by.as_bytes()),
            None => (&[][..], &[][..]),
        };
        let few = [self.mark, &self.whole, &self.packed, names, new, name, by];
        match &self.special {
            Some(special) => {
                let mut all = [&[][..]; 13];
                all[..7].copy_from_slice(&few);
                all[7..].copy_from_slice(&special.arguments());
                run(&all)
            }
            None if self.add.is_some() => run(&few),
            None => run(&few[..5]),
        }
    }
}

fn packed(plan: u8, save: &Save<'_>, base: Option<&SessionRecord>, now_ms: u64) -> [u8; PACKED] {
    let mut packed = [0; PACKED];
    let mut rest = &mut packed[..];
    let mut put = |bytes: &[u8]| {
        let (place, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        rest = behind;
    };
    let base = base.map_or([0; Version::BYTES], |base| *base.version().as_bytes());
    let limit = u32::try_from(save.limit).unwrap_or(u32::MAX);
    put(&[plan]);
    put(save.verifier.as_bytes());
    put(save.version.as_bytes());
    put(&base);
    put(&limit.to_be_bytes());
    put(&now_ms.to_be_bytes());
    packed
}

impl<'a> Special<'a> {
    fn new(save: &'a Save<'_>) -> Self {
        let terms = save.terms;
        let expiry = terms.expiry.as_ref();
        // Tells a text that is empty from none at all.
        let said = |text: Option<&str>| text.map_or_else(String::new, |text| format!(":{text}"));
        let number = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
        Self {
            next: (save.rotate_to.as_ref()).map_or(&[], |hash| hash.as_bytes()),
            idle: number(expiry.map(|expiry| expiry.idle_ms())),
            absolute: number(expiry.map(|expiry| expiry.absolute_ms())),
            user: said(terms.user.as_deref()),
            label: said(terms.label.as_deref()),
            flags: number(
                terms
                    .persistent
                    .map(|persistent| flags_of(persistent).into()),
            ),
        }
    }

    fn arguments(&self) -> [&[u8]; 6] {
        [
            self.next,
            self.idle.as_bytes(),
            self.absolute.as_bytes(),
            self.user.as_bytes(),
            self.label.as_bytes(),
            self.flags.as_bytes(),
        ]
    }
}

/// What became of it, and Redis's time, where the script had to look at its clock.
pub(super) fn save_reply(
    reply: Value,
    save: &Save<'_>,
    now_ms: u64,
) -> Result<(SaveOutcome, Option<u64>), StoreError> {
    let outcome = match reply {
        Value::Int(0) => match save.plan {
            Plan::ReplaceOrMerge(base) | Plan::ReplaceOrReport(base) => {
                let lifetime_ms = base.deadline_ms().saturating_sub(now_ms);
                SaveOutcome::Saved(Saved::new(lifetime_ms, None, base.persistent()))
            }
            Plan::Merge | Plan::Add { .. } => return Err(surprise()),
        },
        Value::BulkString(reply) => return saved(&reply, now_ms),
        Value::Array(reply) => match reply.into_iter().next() {
            Some(Value::BulkString(record)) => {
                SaveOutcome::Conflict(SessionRecord::decode(Bytes::from(record))?)
            }
            _ => return Err(surprise()),
        },
        Value::Int(ABSENT) => SaveOutcome::Absent,
        Value::Int(3) => SaveOutcome::Superseded,
        Value::Int(4) => SaveOutcome::TooLarge,
        Value::Int(5) => SaveOutcome::NotInteger,
        Value::Int(code) => return Err(refused(code)),
        _ => return Err(surprise()),
    };
    Ok((outcome, None))
}

fn saved(reply: &[u8], now_ms: u64) -> Result<(SaveOutcome, Option<u64>), StoreError> {
    let read = || {
        let (deadline, rest) = reply.split_first_chunk()?;
        let (flags, rest) = rest.split_first()?;
        let (now, sum) = rest.split_first_chunk()?;
        let now = Some(u64::from_be_bytes(*now)).filter(|now| *now > 0);
        let lifetime_ms = u64::from_be_bytes(*deadline).saturating_sub(now.unwrap_or(now_ms));
        let sum = std::str::from_utf8(sum).ok()?.parse().ok();
        let saved = Saved::new(lifetime_ms, sum, persistent_of(*flags));
        Some((SaveOutcome::Saved(saved), now))
    };
    read().ok_or_else(surprise)
}
