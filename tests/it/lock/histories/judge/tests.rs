//! What the judge finds, and what it excuses.

use super::*;

/// A use of process 1 under a fence of this second, held from `from` to `to`, with the resource's order from
/// `begun` to the end.
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
