//! What a backend is told of one who asks again.
//!
//! Floor 5.

use super::*;
use crate::lock::backend::{Released, Renewed};
use crate::lock::lease::Fence;

/// Grants for no time at all, and notes who asks.
#[derive(Clone, Default)]
struct Late(Arc<Mutex<Vec<Claim>>>);

impl LockBackend for Late {
    async fn acquire(&self, claim: &Claim, _: Option<Duration>) -> Result<Acquired, LockError> {
        self.0.lock().expect("no panic").push(claim.clone());
        let over = Lease::confirmed(Fence::new(1), Instant::now(), Duration::ZERO);
        Ok(Acquired::Granted(over))
    }

    async fn renew(&self, _: &Claim) -> Result<Renewed, LockError> {
        Ok(Renewed::Lost)
    }

    async fn release(&self, _: &Claim) -> Result<Released, LockError> {
        Ok(Released::Freed)
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_again_as_its_grant_came_too_late_says_since_when() {
    let backend = Late::default();
    let manager = Manager::new(backend.clone());
    let since = Instant::now();
    let key = LockKey::new("a").expect("a key");
    let keys = LockKeys::from(&key);
    let refused = manager.acquire(&keys, Terms::usual(), None).await;
    assert!(matches!(refused, Err(NotHeld::Unavailable(_))));
    let asked = backend.0.lock().expect("no panic").clone();
    let seats: Vec<_> = asked.iter().map(|claim| claim.seat).collect();
    assert_eq!(seats, [None, Some(since), Some(since)]);
    assert_ne!(asked[0].owner, asked[1].owner);
}
