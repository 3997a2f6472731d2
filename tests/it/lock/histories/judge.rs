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

/// A use of process 1 under a fence of this second, held from `from` to `to`, with the resource's order from
/// `begun` to the end.
#[cfg(test)]
fn held(fence: u64, (from, to): (u64, u64), begun: u64, end: End) -> Use {
    Use {
        process: 1,
        task: 0,
        key: "a".to_owned(),
        fence: fence * 1_000_000,
        asked_us: from * 1_000_000,
        in_line_us: u64::MAX,
        granted_us: from * 1_000_000,
        checked_us: to * 1_000_000,
        begun,
        accepted: true,
        writes: vec![(begun, true)],
        end,
    }
}

#[cfg(test)]
fn disturbed(whom: Whom, from: u64, to: u64) -> Disturbance {
    Disturbance {
        from_us: from * 1_000_000,
        to_us: to * 1_000_000,
        whom,
    }
}

#[test]
fn what_must_not_happen_is_found() {
    let found = |uses: &[Use], disturbances: &[Disturbance]| {
        let violations = judge(uses, disturbances).violations;
        violations
            .into_iter()
            .map(|said| said.split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let first = || held(10, (10, 12), 1, End::Kept(3));
    let next = || held(13, (13, 14), 4, End::Kept(5));
    assert!(
        found(&[first(), next()], &[]).is_empty(),
        "one after the other"
    );

    // Granted while the other's guard still said that it is held: nothing excuses that ...
    let early = || held(11, (11, 14), 4, End::Kept(5));
    let stopped = disturbed(Whom::Everybody, 0, 20);
    assert_eq!(found(&[first(), early()], &[stopped]), ["two hold the key"]);
    // ... but a Redis that forgot everything after the first grant and before the second.
    let uses = [
        held(10, (10, 12), 1, End::Kept(3)),
        held(11, (11, 14), 4, End::Kept(5)),
    ];
    let forgot = |at| disturbed(Whom::Data, at, at);
    assert!(found(&uses, &[forgot(11)]).is_empty());
    assert_eq!(found(&uses, &[forgot(9)]), ["two hold the key"]);
    assert_eq!(found(&uses, &[forgot(12)]), ["two hold the key"]);
    // Also where the first one, whose process stood still, came to know of its grant last.
    let uses = [
        held(9, (12, 13), 1, End::Gone(2)),
        held(11, (11, 14), 3, End::Kept(4)),
    ];
    assert!(found(&uses, &[forgot(10)]).is_empty());
    assert_eq!(found(&uses, &[forgot(8)]), ["two hold the key"]);
    assert_eq!(found(&uses, &[forgot(12)]), ["two hold the key"]);

    // Also one that is long past, behind a shorter one.
    let uses = [
        held(10, (10, 30), 1, End::Gone(2)),
        held(11, (40, 41), 3, End::Kept(4)),
        held(12, (20, 21), 5, End::Kept(6)),
    ];
    assert_eq!(found(&uses, &[]), ["two hold the key"]);

    let same = held(10, (13, 14), 4, End::Kept(5));
    let refused = Use {
        accepted: false,
        ..same.clone()
    };
    assert_eq!(
        found(&[first(), refused], &[]),
        ["two grants of a under fence 10000000"]
    );
    assert_eq!(
        found(&[first(), same], &[]).len(),
        2,
        "and accepted under it"
    );
    let fallen = held(4, (13, 14), 4, End::Kept(5));
    assert_eq!(
        found(&[first(), fallen], &[]),
        ["a fence that did not grow was accepted"]
    );
}

#[test]
fn what_was_lost_or_refused_has_an_excuse() {
    let lost = || held(10, (10, 12), 1, End::Lost(3));
    let refused = || Use {
        accepted: false,
        ..held(10, (10, 12), 1, End::Kept(3))
    };
    for each in [lost(), refused()] {
        let in_vain = |disturbances: &[Disturbance]| {
            let verdict = judge(std::slice::from_ref(&each), disturbances);
            assert_eq!(verdict.lost + verdict.refused, 1);
            verdict.in_vain.len()
        };
        assert_eq!(in_vain(&[]), 1);
        for (whom, from, to, excused) in [
            (Whom::Process(1), 13, 14, true),
            (Whom::Process(2), 13, 14, false),
            (Whom::Everybody, 13, 14, true),
            (Whom::Everybody, 5, 8, true),
            (Whom::Everybody, 3, 6, false),
            (Whom::Everybody, 16, 17, false),
        ] {
            let found = in_vain(&[disturbed(whom, from, to)]);
            assert_eq!(found == 0, excused, "{whom:?} {from} {to}");
        }
    }
    // One that is gone was not there to be told.
    let gone = Use {
        end: End::Gone(3),
        ..refused()
    };
    assert_eq!(judge(&[gone], &[]).in_vain.len(), 0);
}

#[test]
fn who_is_overtaken_has_an_excuse_and_writes_nothing_more() {
    let found =
        |uses: &[Use], disturbances: &[Disturbance]| judge(uses, disturbances).violations.len();
    let next = || held(13, (13, 14), 4, End::Kept(7));
    for (end, writes) in [
        (End::Open, vec![]),
        (End::Kept(6), vec![(5, false)]),
        (End::Lost(5), vec![]),
    ] {
        let mut late = held(10, (10, 12), 1, end);
        late.writes = writes;
        let uses = [late, next()];
        assert_eq!(found(&uses, &[]), 1, "{end:?}");
        for (whom, excused) in [
            (Whom::Process(1), true),
            (Whom::Process(2), false),
            (Whom::Everybody, true),
            (Whom::Data, true),
        ] {
            let found = |from, to| found(&uses, &[disturbed(whom, from, to)]) == 0;
            assert_eq!(found(11, 12), excused, "{whom:?}");
            assert_eq!(found(5, 8), excused, "{whom:?}: still felt");
            assert!(!found(3, 6), "{whom:?}: long over");
            assert!(!found(14, 15), "{whom:?}: afterwards");
        }
    }
    // One whose last word alone came late had said it before it let go.
    let done = held(10, (10, 12), 1, End::Kept(5));
    assert_eq!(found(&[done, next()], &[]), 0);
    // One that is gone needs no excuse, unless it goes on.
    let mut gone = held(10, (10, 12), 1, End::Gone(8));
    gone.writes.push((5, false));
    assert_eq!(found(&[gone.clone(), next()], &[]), 0);
    gone.writes.push((6, false));
    assert_eq!(found(&[gone.clone(), next()], &[]), 1);
    // And whatever happened to it, the resource lets nothing of the past in.
    gone.writes.push((7, true));
    let excuse = disturbed(Whom::Everybody, 10, 14);
    assert_eq!(found(&[gone, next()], &[excuse]), 1);
}
