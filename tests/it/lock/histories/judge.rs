//! What a history of uses must never show. Pure.

use std::collections::BTreeMap;

/// One use of the resource, as the resource saw it and as its user told.
///
/// Numbers of order are the resource's own, one sequence for all; times are microseconds of the
/// machine's clock, which all processes share.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) process: u32,
    pub(super) task: u32,
    pub(super) key: String,
    pub(super) fence: u64,
    /// Read before it asked for the lock ...
    pub(super) asked_us: u64,
    /// ... and when it was certain to wait; the largest number where it never waited.
    pub(super) in_line_us: u64,
    /// Read after the grant: from here on its user holds the lock ...
    pub(super) granted_us: u64,
    /// ... at least until here: read before the last look at the guard that found it held.
    pub(super) checked_us: u64,
    pub(super) begun: u64,
    pub(super) accepted: bool,
    /// The order of each write, and whether it was accepted.
    pub(super) writes: Vec<(u64, bool)>,
    pub(super) end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Not yet.
    Open,
    /// Said so, with the lock still in hand.
    Kept(u64),
    /// Said that the lock was lost.
    Lost(u64),
    /// Hung up: the handler was dropped, or its process died.
    Gone(u64),
}

/// Something that may cost a holder its lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disturbance {
    pub(super) from_us: u64,
    pub(super) to_us: u64,
    pub(super) whom: Whom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    Process(u32),
    Everybody,
    /// Redis forgot what it held.
    Data,
}

/// How long a disturbance is felt: a connection has to come back, a lease was not renewed.
pub(super) const AFTERMATH_US: u64 = 3_000_000;

#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) violations: Vec<String>,
    pub(super) accepted: usize,
    /// Uses that were refused, or whose lock was lost, though nothing disturbed them.
    pub(super) in_vain: Vec<String>,
    /// Uses whose user was there to be told: the first word of one that is gone may come late.
    pub(super) refused: usize,
    /// Accepted uses during which another one was accepted; all of them excused, where there
    /// are no violations.
    pub(super) overtaken: usize,
    pub(super) lost: usize,
}

pub(super) fn judge(uses: &[Use], disturbances: &[Disturbance]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut keys: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for each in uses {
        keys.entry(&each.key).or_default().push(each);
    }
    for uses in keys.values_mut() {
        for each in uses.iter() {
            let lost = matches!(each.end, End::Lost(_));
            let refused = !each.accepted && !matches!(each.end, End::Gone(_));
            verdict.lost += usize::from(lost);
            verdict.refused += usize::from(refused);
            // It held the lock until it looked last, and noticed its loss soon after, or what held it up.
            let noticed_us = each.checked_us + AFTERMATH_US;
            if (lost || refused) && !is_disturbed(each, noticed_us, disturbances) {
                let said = format!("in vain though nothing disturbed it: {each:?}");
                verdict.in_vain.push(said);
            }
        }
        one_holder_at_a_time(uses, disturbances, &mut verdict);
        uses.retain(|each| each.accepted);
        verdict.accepted += uses.len();
        uses.sort_by_key(|each| each.begun);
        fences_only_grow(uses, &mut verdict);
        who_was_overtaken_was_disturbed(uses, disturbances, &mut verdict);
    }
    verdict
}

/// Whether anything befell its user between its grant and `until_us`.
fn is_disturbed(each: &Use, until_us: u64, disturbances: &[Disturbance]) -> bool {
    disturbances.iter().any(|disturbance| {
        let felt = match disturbance.whom {
            Whom::Process(process) => process == each.process,
            Whom::Everybody | Whom::Data => true,
        };
        felt && disturbance.from_us <= until_us
            && each.granted_us <= disturbance.to_us + AFTERMATH_US
    })
}

/// Exact, whatever stands still or breaks: nobody is granted the key as long as another one's
/// guard says that it is held. Only a Redis that forgot who holds it gives it away.
fn one_holder_at_a_time(uses: &mut [&Use], disturbances: &[Disturbance], verdict: &mut Verdict) {
    uses.sort_by_key(|each| (each.granted_us, each.fence));
    let mut before: Option<&Use> = None;
    for each in uses
        .iter()
        .filter(|each| each.checked_us >= each.granted_us)
    {
        if let Some(before) = before.filter(|before| each.granted_us <= before.checked_us) {
            let forgotten = forgotten_between(before, each, disturbances);
            if !forgotten {
                let around = disturbances.iter().filter(|it| {
                    it.from_us <= each.checked_us && before.fence <= it.to_us + AFTERMATH_US
                });
                let around: Vec<_> = around.collect();
                let said = format!("two hold the key: {before:?} and {each:?}; {around:?}");
                verdict.violations.push(said);
            }
        }
        if before.is_none_or(|before| before.checked_us < each.checked_us) {
            before = Some(each);
        }
    }
    let mut fences: Vec<_> = uses.iter().map(|each| each.fence).collect();
    fences.sort_unstable();
    for pair in fences.windows(2).filter(|pair| pair[0] == pair[1]) {
        let said = format!("two grants of {} under fence {}", uses[0].key, pair[0]);
        verdict.violations.push(said);
    }
}

/// Whether Redis forgot the older of two grants before it made the newer one. A fence is Redis's
/// time at the grant, or soon before: who was granted the key first may come to know of it last.
fn forgotten_between(one: &Use, other: &Use, disturbances: &[Disturbance]) -> bool {
    let (older, newer) = (one.fence.min(other.fence), one.fence.max(other.fence));
    disturbances
        .iter()
        .any(|loss| loss.whom == Whom::Data && older <= loss.to_us && loss.from_us <= newer)
}

fn fences_only_grow(uses: &[&Use], verdict: &mut Verdict) {
    for pair in uses.windows(2) {
        let (each, next) = (pair[0], pair[1]);
        if each.fence >= next.fence {
            let said = format!("a fence that did not grow was accepted: {each:?}, {next:?}");
            verdict.violations.push(said);
        }
        if each
            .writes
            .iter()
            .any(|(at, accepted)| *accepted && *at > next.begun)
        {
            let said = format!("a write of the past was accepted: {each:?}, {next:?}");
            verdict.violations.push(said);
        }
    }
}

fn late_writes(each: &Use, next: &Use) -> usize {
    let late = each.writes.iter().filter(|(at, _)| *at > next.begun);
    late.count()
}

fn who_was_overtaken_was_disturbed(
    uses: &[&Use],
    disturbances: &[Disturbance],
    verdict: &mut Verdict,
) {
    for pair in uses.windows(2) {
        let (each, next) = (pair[0], pair[1]);
        let excused = match each.end {
            End::Kept(at) | End::Lost(at) if at < next.begun => continue,
            End::Gone(at) if at < next.begun => continue,
            // The handler is dropped before its lock is let go, and what it had just sent may
            // arrive later than the next one's first word: a write, or that it is done.
            End::Gone(_) => late_writes(each, next) <= 1,
            End::Kept(_) => late_writes(each, next) == 0,
            End::Open | End::Lost(_) => false,
        };
        verdict.overtaken += 1;
        if !excused && !is_disturbed(each, next.granted_us, disturbances) {
            let said = format!("overtaken though nothing disturbed it: {each:?}, {next:?}");
            verdict.violations.push(said);
        }
    }
}

mod tests;
