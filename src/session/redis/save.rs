//! What `save.lua` is told and what it replies.
//! Floor 4.

use std::io::Write;

use ::redis::{Cmd, RedisWrite, Value};
use bytes::Bytes;

use crate::redis::script::push_pieces;
use crate::session::error::StoreError;
use crate::session::expiry::renewal_is_due;
use crate::session::fields::field_head;
use crate::session::head::{flags_of, persistent_of};
use crate::session::record::{SessionRecord, Version};
use crate::session::redis::reply::{ABSENT, refused, surprise};
use crate::session::save::{Plan, Save, SaveOutcome, Saved};
use crate::session::token::VerifierHash;

/// Plan, verifier, two versions, limit, two times.
const PACKED: usize = 1 + VerifierHash::BYTES + 2 * Version::BYTES + 4 + 2 * 8;

/// A run of the script, of what `begin` makes room for: arguments and bytes. The script's comment says
/// what each argument means.
pub(super) fn save_command(
    begin: impl FnOnce(usize, usize) -> Cmd,
    save: &Save<'_>,
    now_ms: u64,
    not_after_ms: u64,
) -> Cmd {
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
    let mark = mark.map_or(&[][..], SessionRecord::mark);
    let rest = 64 + save.changes.size();
    let mut command = begin(13, mark.len() + whole.len() + PACKED + rest);
    command.arg(mark).arg(whole);
    command.arg(&packed(plan, save, base, [now_ms, not_after_ms]));
    let changes = save.changes;
    {
        let mut names = command.writer_for_next_arg();
        for name in changes.names() {
            let _ = names.write_all(&[name.len() as u8]);
            let _ = names.write_all(name.as_bytes());
        }
    }
    {
        let mut new = command.writer_for_next_arg();
        for (name, value) in changes.new_values() {
            let _ = new.write_all(&field_head(name, value));
            let _ = new.write_all(name.as_bytes());
            let _ = new.write_all(value);
        }
    }
    match save.plan {
        Plan::Add { name, by } => _ = command.arg(name).arg(by),
        _ if save.is_special() => _ = command.arg("").arg(""),
        _ => {}
    }
    if save.is_special() {
        push_special(&mut command, save);
    }
    command
}

/// What changes beside fields: the secret, the session's terms.
fn push_special(command: &mut Cmd, save: &Save<'_>) {
    let terms = save.terms;
    let next = save.rotate_to.as_ref().map(|hash| &hash.as_bytes()[..]);
    command.arg(next.unwrap_or_default());
    match &terms.expiry {
        Some(expiry) => command.arg(expiry.idle_ms()).arg(expiry.absolute_ms()),
        None => command.arg("").arg(""),
    };
    for text in [&terms.user, &terms.label] {
        // A colon tells a text that is empty from none at all.
        let text = text.as_deref().map(|text| [b":", text.as_bytes()]);
        push_pieces(command, text.into_iter().flatten());
    }
    match terms.persistent {
        Some(persistent) => command.arg(flags_of(persistent)),
        None => command.arg(""),
    };
}

fn packed(
    plan: u8,
    save: &Save<'_>,
    base: Option<&SessionRecord>,
    times_ms: [u64; 2],
) -> [u8; PACKED] {
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
    for time in times_ms {
        put(&time.to_be_bytes());
    }
    packed
}

/// What became of it, and Redis's time where the reply says it.
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
        Value::BulkString(reply) => return saved(&reply),
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

fn saved(reply: &[u8]) -> Result<(SaveOutcome, Option<u64>), StoreError> {
    let read = || {
        let (deadline, rest) = reply.split_first_chunk()?;
        let (flags, rest) = rest.split_first()?;
        let (now, sum) = rest.split_first_chunk()?;
        let now = u64::from_be_bytes(*now);
        let lifetime_ms = u64::from_be_bytes(*deadline).saturating_sub(now);
        let sum = std::str::from_utf8(sum).ok()?.parse().ok();
        let saved = Saved::new(lifetime_ms, sum, persistent_of(*flags));
        Some((SaveOutcome::Saved(saved), Some(now)))
    };
    read().ok_or_else(surprise)
}
