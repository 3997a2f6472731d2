//! The oldest of what a tracker lists.
//!
//! Floor 3.

use tokio::time::Instant;

use crate::in_flight::tracker::Tracker;

/// What `view` makes of the oldest `most`, oldest first; `began` says since when an entry is there.
///
/// Work enters through the lock under which the list is looked at, so only what is wanted is
/// copied.
pub(crate) fn oldest<T, V>(
    tracker: Tracker<T>,
    most: usize,
    began: impl Fn(&T) -> Instant,
    view: impl Fn(&T) -> V,
) -> Vec<V>
where
    T: Send + 'static,
{
    let mut last = None;
    if tracker.count() > most as u64 {
        let mut all = tracker.list(&began);
        if most < all.len() {
            last = Some(*all.select_nth_unstable(most).1);
        }
    }
    let wanted = |entry: &T| {
        let since = began(entry);
        last.is_none_or(|last| since <= last)
            .then(|| (since, view(entry)))
    };
    let mut listed: Vec<_> = tracker.list(wanted).into_iter().flatten().collect();
    listed.sort_by_key(|(since, _)| *since);
    listed.truncate(most);
    listed.into_iter().map(|(_, view)| view).collect()
}
