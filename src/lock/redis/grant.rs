//! The message that wakes a waiter.
//!
//! Floor 4.

use crate::lock::lease::{Fence, HAND_OVER, Lease, Owner};
use crate::lock::redis::reply::Ran;
use tokio::time::{Duration, Instant};

/// A key was handed over: to whom, under which fence, until when on Redis's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) owner: Owner,
    pub(super) fence: Fence,
    pub(super) deadline_ms: u64,
    /// Whether others waited when it was granted.
    pub(super) others: bool,
}

/// A grant, and since when messages come from the Redis that sent it; none where no clock says what
/// the grant's deadline is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) grant: Grant,
    pub(super) since: Option<Instant>,
}

impl Heard {
    /// As [`Grant::lease`]. What was asked before `since` may have been answered by another Redis,
    /// whose clock says nothing of this one's deadlines.
    pub(super) fn lease(&self, ran: Option<Ran>, now: Instant) -> Option<Lease> {
        let since = self.since?;
        let ran = ran.filter(|ran| ran.sent >= since)?;
        self.grant.lease(ran, now)
    }
}

/// The message that others want what `1` and 16 bytes of owner holds.
pub(super) fn wanted(message: &[u8]) -> Option<Owner> {
    let owner = message.strip_prefix(b"w1")?;
    Some(Owner::from_bytes(owner.try_into().ok()?))
}

impl Grant {
    /// Reads format `1`: 16 bytes of owner, 16 digits of fence, 16 digits of deadline, `1` where
    /// others wait; what a later version appends is its own affair. `None` for anything else.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let message = message.strip_prefix(b"1")?;
        let (owner, rest) = message.split_first_chunk::<16>()?;
        let (fence, rest) = rest.split_first_chunk::<16>()?;
        let (deadline, rest) = rest.split_first_chunk::<16>()?;
        Some(Self {
            owner: Owner::from_bytes(*owner),
            fence: Fence::new(number(fence)?),
            deadline_ms: number(deadline)?,
            others: rest.first() == Some(&b'1'),
        })
    }

    /// The lease, on this process's clock, by what a script that ran earlier said of Redis's.
    ///
    /// That script read Redis's clock not before it was sent, so Redis reaches the deadline not
    /// before the local instant computed here. Where its clock was set forward in between, it keeps
    /// the hand-over for no longer than that is made for, from before it was heard of. `None` when
    /// that is over: the next in line may have been granted the key meanwhile.
    pub(super) fn lease(&self, ran: Ran, now: Instant) -> Option<Lease> {
        // One off: both times were rounded down to whole milliseconds.
        let ms = self.deadline_ms.checked_sub(ran.redis_ms)?.checked_sub(1)?;
        let told = Lease::confirmed(self.fence, ran.sent, Duration::from_millis(ms));
        let longest = Lease::confirmed(self.fence, now, HAND_OVER);
        let lease = Lease::until(self.fence, told.deadline().min(longest.deadline()));
        (lease.deadline() > now).then_some(lease)
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"1abcdefghijklmnop170000000000000100017000000010001";

    #[test]
    fn reads_its_own_format_and_nothing_else() {
        let grant = Grant::parse(MESSAGE).unwrap();
        assert_eq!(grant.owner, Owner::from_bytes(*b"abcdefghijklmnop"));
        assert_eq!(grant.fence.get(), 1_700_000_000_000_001);
        assert_eq!(grant.deadline_ms, 1_700_000_001_000);
        assert!(grant.others);
        assert_eq!(Grant::parse(&[MESSAGE, b" and more"].concat()), Some(grant));
        assert!(!Grant::parse(&MESSAGE[..49]).unwrap().others);
        assert_eq!(wanted(b"w1abcdefghijklmnop"), Some(grant.owner));
        assert_eq!(
            [
                wanted(MESSAGE),
                wanted(b"w1abc"),
                wanted(b"w2abcdefghijklmnop")
            ],
            [None; 3]
        );
        for bad in [
            &b""[..],
            b"1",
            &MESSAGE[..48],
            b"2abcdefghijklmnop",
            b"1abcdefghijklmnop+700000000000001000170000000100",
            b"1abcdefghijklmnop1700000000000001+001700000001000",
        ] {
            assert_eq!(Grant::parse(bad), None);
        }
        assert_eq!(Grant::parse(&[b"2", &MESSAGE[1..]].concat()), None);
    }

    #[test]
    fn a_grant_read_after_its_deadline_is_none() {
        let grant = Grant::parse(MESSAGE).unwrap();
        let sent = Instant::now();
        let ran = Ran {
            sent,
            redis_ms: 1_700_000_000_000,
        };
        assert!(grant.lease(ran, sent).is_some());
        assert!(
            grant
                .lease(ran, sent + Duration::from_millis(999))
                .is_none()
        );
        let late = Ran {
            redis_ms: 1_700_000_001_000,
            ..ran
        };
        assert!(grant.lease(late, sent).is_none());
    }

    #[test]
    fn a_clock_that_was_set_forward_makes_no_grant_longer() {
        let grant = Grant::parse(MESSAGE).unwrap();
        let asked = Instant::now();
        let ran = Ran {
            sent: asked,
            redis_ms: 1_700_000_001_000 - 33_000,
        };
        let heard = asked + Duration::from_secs(2);
        let lease = grant.lease(ran, heard).unwrap();
        assert_eq!(lease.deadline(), heard + Duration::from_millis(988));
    }
}
