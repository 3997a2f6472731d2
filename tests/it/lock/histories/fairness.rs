//! In which order a history serves those who wait. Pure, and without a bound of time: the clock that all
//! processes share only says who came after whom.
//!
//! Within a process: first come, first served, whatever fails. Between processes: whoever was in line
//! when its process let go comes next but for one turn of each other process, and a turn is a grant
//! and the sixteen times that it may be passed on while others wait.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{AFTERMATH_US, Disturbance, Use};
#[cfg(test)]
use super::judge::{End, Whom};

/// The uses of one turn while others wait.
const TURN: usize = 1 + 16;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fairness {
    pub(super) unfair: Vec<String>,
    /// How many waited.
    pub(super) waits: usize,
    /// How often a process was seen to wait for turns of others, undisturbed.
    pub(super) rounds: usize,
    /// The longest turn among those.
    pub(super) longest: usize,
}

pub(super) fn fairness(uses: &[Use], disturbances: &[Disturbance]) -> Fairness {
    let mut found = Fairness::default();
    let mut keys: BTreeMap<&str, Vec<&Use>> = BTreeMap::new();
    for each in uses {
        keys.entry(&each.key).or_default().push(each);
    }
    for uses in keys.values_mut() {
        // Fences grow with every grant, also within a process.
        uses.sort_by_key(|each| each.fence);
    }
    let reached = reached(keys.values());
    for uses in keys.values() {
        let turns = uses.chunk_by(|one, next| one.process == next.process);
        let turns: Vec<_> = turns.collect();
        for process in processes(uses) {
            let own = || uses.iter().filter(|each| each.process == process);
            first_come_first_served(own(), &mut found);
            if let Some(since) = reached.get(&process) {
                one_turn_of_each_other(process, &turns, *since, disturbances, &mut found);
            }
        }
    }
    found
}

/// How often the task that was served least, and the one that was served most, from when all so many
/// of them had been served on; none before. Of the time between two disturbances in which the one that
/// was served least was served most often.
pub(super) fn least_and_most(
    uses: &[Use],
    disturbances: &[Disturbance],
    tasks: usize,
) -> Option<(usize, usize)> {
    let mut disturbances = disturbances.to_vec();
    disturbances.sort_by_key(|it| it.from_us);
    let mut from_us = 0;
    let mut calm: Vec<_> = Vec::new();
    for it in disturbances {
        calm.push(from_us..it.from_us);
        from_us = from_us.max(it.to_us + AFTERMATH_US);
    }
    calm.push(from_us..u64::MAX);
    let calm = calm.into_iter().filter_map(|calm| {
        let uses = uses.iter().filter(|each| calm.contains(&each.granted_us));
        least_and_most_of(&uses.collect::<Vec<_>>(), tasks)
    });
    calm.max_by_key(|(least, _)| *least)
}

fn least_and_most_of(uses: &[&Use], tasks: usize) -> Option<(usize, usize)> {
    let mut seen = BTreeSet::new();
    let all = uses.iter().position(|each| {
        seen.insert((each.process, each.task));
        seen.len() == tasks
    })?;
    let mut served: BTreeMap<_, usize> = seen.into_iter().map(|who| (who, 0)).collect();
    for each in &uses[all..] {
        *served.entry((each.process, each.task)).or_default() += 1;
    }
    let counts = || served.values().copied();
    counts().min().zip(counts().max())
}

fn processes(uses: &[&Use]) -> BTreeSet<u32> {
    uses.iter().map(|each| each.process).collect()
}

/// Since when a process is known to have an open inbox: it was served after it had waited for
/// another one. Before that it gets in line later than it lets go.
fn reached<'a>(keys: impl Iterator<Item = &'a Vec<&'a Use>>) -> BTreeMap<u32, u64> {
    let mut reached = BTreeMap::new();
    for uses in keys {
        for pair in uses.windows(2) {
            let (other, each) = (pair[0], pair[1]);
            if other.process != each.process && each.in_line_us < other.granted_us {
                let since = reached.entry(each.process).or_insert(each.granted_us);
                *since = each.granted_us.min(*since);
            }
        }
    }
    reached
}

/// Exact, whatever stands still or breaks.
fn first_come_first_served<'a>(own: impl Iterator<Item = &'a &'a Use>, found: &mut Fairness) {
    let mut latest: Option<&Use> = None;
    for each in own {
        found.waits += usize::from(each.in_line_us < each.granted_us);
        if let Some(before) = latest.filter(|before| before.asked_us > each.in_line_us) {
            let said = format!("overtaken within a process: {each:?} by {before:?}");
            found.unfair.push(said);
        }
        if latest.is_none_or(|latest| latest.asked_us < each.asked_us) {
            latest = Some(each);
        }
    }
}

/// Who waits while its process lets go is in line again with the same script.
fn one_turn_of_each_other(
    process: u32,
    turns: &[&[&Use]],
    reached_us: u64,
    disturbances: &[Disturbance],
    found: &mut Fairness,
) {
    let own: Vec<_> = (0..turns.len())
        .filter(|at| turns[*at][0].process == process)
        .collect();
    // The earliest of those who are served in this turn or later.
    let mut in_line_us = u64::MAX;
    for pair in own.windows(2).rev() {
        let (last, next) = (turns[pair[0]], turns[pair[1]]);
        let earliest = next.iter().map(|each| each.in_line_us).min();
        in_line_us = in_line_us.min(earliest.unwrap_or(u64::MAX));
        let (Some(left), Some(back)) = (last.last(), next.first()) else {
            continue;
        };
        let disturbed = disturbances
            .iter()
            .any(|it| it.from_us <= back.granted_us && left.granted_us <= it.to_us + AFTERMATH_US);
        if disturbed || left.granted_us < reached_us || left.checked_us < in_line_us {
            continue;
        }
        found.rounds += 1;
        let between = &turns[pair[0] + 1..pair[1]];
        let others: BTreeSet<_> = between.iter().map(|turn| turn[0].process).collect();
        if others.len() < between.len() {
            let said = between.iter().map(|turn| (turn[0].process, turn.len()));
            let said: Vec<_> = said.collect();
            let said = format!("two turns while {process} waits after {left:?}: {said:?}");
            found.unfair.push(said);
        }
        for turn in between {
            found.longest = found.longest.max(turn.len());
            if turn.len() > TURN {
                let said = format!(
                    "a turn of {} while {process} waits: {:?}",
                    turn.len(),
                    turn[0]
                );
                found.unfair.push(said);
            }
        }
    }
}

/// A use of `process` that asked and got in line at these microseconds, and was granted the key at
/// the time that its fence says.
#[cfg(test)]
fn served(process: u32, (asked, in_line): (u64, u64), fence: u64) -> Use {
    Use {
        process,
        task: 0,
        key: "a".to_owned(),
        fence,
        asked_us: asked,
        in_line_us: in_line,
        granted_us: fence,
        checked_us: fence,
        begun: fence,
        accepted: true,
        writes: Vec::new(),
        end: End::Kept(fence),
    }
}

#[cfg(test)]
fn unfair(uses: &[Use]) -> usize {
    fairness(uses, &[]).unfair.len()
}

#[test]
fn who_was_served_how_often_is_counted_between_disturbances() {
    const LATER: u64 = 2 * AFTERMATH_US;
    let uses = |from: u64, ones: u64, others: u64| {
        let one = (0..ones).map(move |at| served(1, (0, 0), from + 2 * at));
        let other = (0..others).map(move |at| served(2, (0, 0), from + 2 * at + 1));
        let mut uses: Vec<_> = one.chain(other).collect();
        uses.sort_by_key(|each| each.fence);
        uses
    };
    let all = [uses(10, 9, 3), uses(LATER, 5, 5)].concat();
    // The first of those by whom all were served counts.
    assert_eq!(least_and_most(&all, &[], 2), Some((8, 13)));
    let disturbed = |from_us, to_us| Disturbance {
        from_us,
        to_us,
        whom: Whom::Everybody,
    };
    assert_eq!(least_and_most(&all, &[disturbed(50, 60)], 2), Some((4, 5)));
    let at_the_end = disturbed(LATER, LATER + 100);
    assert_eq!(least_and_most(&all, &[at_the_end], 2), Some((3, 8)));
    let all_the_time = disturbed(0, LATER);
    assert_eq!(least_and_most(&all, &[all_the_time], 2), None);
    assert_eq!(least_and_most(&all, &[], 3), None, "one is still to come");
}

#[test]
fn who_came_later_and_was_served_before_is_found() {
    let first = |fence| served(1, (1, 3), fence);
    let last = |fence| served(1, (5, 7), fence);
    assert_eq!(unfair(&[first(10), last(11)]), 0);
    assert_eq!(unfair(&[last(10), first(11)]), 1);
    // Nobody knows who of two came first where one asked before the other was in line.
    assert_eq!(unfair(&[served(1, (3, 7), 10), first(11)]), 0);
    // Nor is there one line for all processes.
    assert_eq!(unfair(&[served(2, (5, 7), 10), first(11)]), 0);
    // Behind some that came in time, and whatever was disturbed.
    let uses = [last(10), served(1, (0, 1), 11), first(12)];
    let always = Disturbance {
        from_us: 0,
        to_us: u64::MAX - AFTERMATH_US,
        whom: Whom::Everybody,
    };
    assert_eq!(fairness(&uses, &[always]).unfair.len(), 2);
}

#[test]
fn a_second_turn_of_another_one_and_one_that_is_too_long_are_found() {
    // Process 1 was reached, lets go at 100, and one of it waits since 90.
    let begun = || vec![served(2, (1, 2), 10), served(1, (3, 4), 100)];
    let waits = |fence| served(1, (90, 91), fence);
    let turn = |process, from: u64, len: u64| {
        (from..from + len).map(move |at| served(process, (at, at), at))
    };
    let judged = |between: Vec<Use>, disturbances: &[Disturbance]| {
        let mut uses = begun();
        uses.extend(between);
        uses.push(waits(1_000));
        fairness(&uses, disturbances)
    };
    let fair = judged(turn(2, 200, 17).chain(turn(3, 300, 17)).collect(), &[]);
    assert_eq!((fair.unfair.len(), fair.rounds, fair.longest), (0, 1, 17));
    let too_long = || turn(2, 200, 18).collect();
    assert_eq!(judged(too_long(), &[]).unfair.len(), 1);
    let again = turn(2, 200, 1)
        .chain(turn(3, 300, 1))
        .chain(turn(2, 400, 1));
    let again: Vec<_> = again.collect();
    assert_eq!(judged(again.clone(), &[]).unfair.len(), 1);
    let stalled = Disturbance {
        from_us: 150,
        to_us: 160,
        whom: Whom::Process(3),
    };
    assert_eq!(judged(again, &[stalled]).unfair.len(), 0);
    // One that came after its process had let go gets in line behind others.
    let mut uses = begun();
    uses.extend(turn(2, 200, 18));
    uses.push(served(1, (150, 151), 1_000));
    assert_eq!(unfair(&uses), 0);
    // It is enough that somebody waits who is served later still.
    uses.push(waits(1_001));
    assert_eq!(
        unfair(&uses),
        2,
        "and was overtaken by the one that came later"
    );
}
