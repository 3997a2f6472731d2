//! Who sees to renewals where a runtime ends.

use loom::thread;

use super::held::HeldLocks;
use super::renew::renew_held;
use crate::explore;

/// A runtime ends while the renewals begin there: before it takes the task, after that, and while
/// whoever has begun them does not know it yet. Another runtime lives, and has the task in the end.
pub fn where_a_runtime_ends_renewals_go_on_in_another_one() {
    explore(|| {
        let held = HeldLocks::new();
        let ending = held.home(0);
        let ends = thread::spawn(move || ending.end());
        renew_held(&held, &None);
        ends.join().unwrap();
        assert_eq!(held.home(1).run(), 1, "one task sees to them");
    });
}

/// Two locks are taken at a time, and each asks who sees to its renewals.
pub fn of_two_who_come_together_one_begins() {
    explore(|| {
        let held = HeldLocks::new();
        held.home(0).end();
        let other = held.clone();
        let other = thread::spawn(move || take_one(&other));
        take_one(&held);
        other.join().unwrap();
        assert_eq!(held.home(1).run(), 1, "one task sees to them");
    });
}

fn take_one(held: &HeldLocks) {
    if held.add() {
        renew_held(held, &None);
    }
}
