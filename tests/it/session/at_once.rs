//! A session's end and a request on it, both under way at the same time from two instances on one
//! Redis: in whatever order Redis takes them, the end is final.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use tower_handoff::session::{CommitOutcome, Session, SessionExpiry, SessionLayer};

use super::late::{End, Late, Victim, World};
use super::support::{Answer, request, visit};
use super::users::id_of;
use crate::support::eventually::eventually;

/// Requests that race an end, all in all.
fn rounds() -> u64 {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 100_000,
        None => 1_600,
    }
}

/// Races that run at the same time.
const AT_ONCE: u64 = 8;

/// The same round, the same throws; what the scheduler makes of them is its own affair.
struct Dice(u64);

impl Dice {
    fn of(round: u64) -> Self {
        Self(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// No delay, or one of about a round trip.
    async fn pause(&mut self) {
        match self.below(3) {
            0 => {}
            1 => tokio::task::yield_now().await,
            _ => tokio::time::sleep(Duration::from_micros(self.below(1500))).await,
        }
    }
}

/// A request that may have looked, and then does something.
async fn slow(
    layer: &SessionLayer,
    victim: &Victim,
    late: Late,
    looks: bool,
    dice: &mut Dice,
) -> Answer {
    dice.pause().await;
    request(layer, &victim.cookie, async |session: Session| {
        if looks {
            session.exists().await.unwrap();
        }
        dice.pause().await;
        late.act(&session, &victim.user).await;
        StatusCode::OK
    })
    .await
}

async fn race(world: &World, here: &SessionLayer, there: &SessionLayer, round: u64) -> bool {
    let mut dice = Dice::of(round);
    let late = Late::ALL[dice.below(16) as usize];
    let ends = [
        End::Logout,
        End::RevokeAll,
        End::RevokeOne,
        End::RevokeOthers,
    ];
    let end = ends[dice.below(4) as usize];
    let looks = dice.below(2) == 0;
    let cell = format!("round {round}: {late:?}, {end:?}, looks: {looks}");
    let victim = Victim::log_in(here, format!("user of {round}")).await;
    let mut other = Dice::of(!round);
    let ending = async {
        other.pause().await;
        world.end(end, there, &victim).await
    };
    let (answer, ended) = tokio::join!(slow(here, &victim, late, looks, &mut dice), ending);
    let cookie = answer.set_cookie().filter(|cookie| !cookie.ends_with('='));
    if !ended {
        // Destroyed by itself, or its user's no more; and a logout under a token that was rotated
        // the moment before ends nothing.
        let lives = match late {
            Late::Destroy | Late::DestroyAndWrite => false,
            Late::LogInAsOther | Late::LogOutOfUser => true,
            _ if late.rotates() && end == End::Logout => true,
            _ => panic!("not ended, {cell}"),
        };
        assert_eq!(world.is_there(&victim.id).await, lives, "{cell}");
        return false;
    }
    assert!(!world.is_there(&victim.id).await, "the key exists, {cell}");
    assert_eq!(
        id_of(there, &victim.cookie).await,
        None,
        "the old cookie, {cell}"
    );
    if answer.outcome == Some(CommitOutcome::Gone) {
        assert_eq!(answer.set_cookie(), None, "gone, with a cookie, {cell}");
    }
    if let Some(cookie) = cookie {
        let id = id_of(there, &cookie).await;
        assert_ne!(id, Some(victim.id), "the new cookie, {cell}");
        // A session that begins here is a visitor's who never saw the old one.
        assert!(id.is_none() || late.starts_a_session(), "{cell}");
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_races_a_request_is_final() {
    let world = World::redis();
    let here = SessionLayer::new(world.store.clone());
    let there = SessionLayer::new(world.elsewhere());
    let (world, here, there) = (&world, &here, &there);
    let racers = (0..AT_ONCE).map(|racer| async move {
        let mut ended = 0;
        for round in (racer..rounds()).step_by(AT_ONCE as usize) {
            ended += u64::from(race(world, here, there, round).await);
        }
        ended
    });
    let ended: u64 = join_all(racers).await.iter().sum();
    assert!(ended * 2 > rounds(), "only {ended} ended");
}

/// The session's own time-out runs out around the time of the write. Says whether there was a race,
/// and whether the request was told that its session is gone.
async fn race_expiry(world: &World, idle: Duration, round: u64) -> (bool, bool) {
    let expiry = SessionExpiry::new(idle, 4 * idle).unwrap();
    let layer = SessionLayer::new(world.store.clone()).with_expiry(expiry);
    let mut dice = Dice::of(round);
    let all = [
        Late::Write,
        Late::Rotate,
        Late::Save,
        Late::Increment,
        Late::Update,
    ];
    let late = all[dice.below(5) as usize];
    let cell = format!("round {round}: {late:?}");
    let mut id = None;
    let cookie = visit(&layer, "", "cart", "full").await;
    let answer = request(&layer, &cookie, async |session: Session| {
        id = session.id().await.unwrap();
        let around = idle.mul_f64(0.8 + dice.below(40) as f64 / 100.0);
        tokio::time::sleep(around).await;
        late.act(&session, "nobody").await;
        StatusCode::OK
    })
    .await;
    let Some(id) = id else {
        return (false, false); // this machine was too slow for this round
    };
    // Whoever is told that it is gone finds nothing, and nothing is left once nobody uses it.
    let gone = !world.is_there(&id).await;
    let told = answer.outcome == Some(CommitOutcome::Gone);
    assert!(gone || !told, "told that it is gone, {cell}");
    if told {
        assert_eq!(answer.set_cookie(), None, "{cell}");
    }
    eventually("nothing is left", async || !world.is_there(&id).await).await;
    let token = answer.set_cookie().unwrap_or(cookie);
    assert_eq!(id_of(&layer, &token).await, None, "{cell}");
    (true, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expiry_that_races_a_request_is_final() {
    let world = &World::redis();
    let idle = Duration::from_millis(250);
    let racers = (0..AT_ONCE).map(|racer| async move {
        let (mut raced, mut told) = (0, 0);
        for round in (racer..rounds() / 40).step_by(AT_ONCE as usize) {
            let (was_race, was_told) = race_expiry(world, idle, round).await;
            raced += u32::from(was_race);
            told += u32::from(was_told);
        }
        (raced, told)
    });
    let all = join_all(racers).await;
    let raced: u32 = all.iter().map(|(raced, _)| raced).sum();
    assert!(raced > 0, "no session lived long enough to be looked at");
    eprintln!("{all:?}: raced, and were told that their session is gone");
}
