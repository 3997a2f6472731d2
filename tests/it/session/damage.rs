//! Records that were damaged in Redis: every operation has an answer, none makes it worse.

use std::collections::BTreeMap;

use http::StatusCode;
use redis::Commands;
use tower_handoff::session::{
    Session, SessionError, SessionErrorKind, SessionLayer, SessionRecord, StoreErrorKind,
    Undecodable,
};

use super::support::request;
use dice::Dice;
use renew_instead::RenewInstead;
use world::World;

mod dice;
mod renew_instead;
mod world;

const OK: StatusCode = StatusCode::OK;

fn rounds() -> u32 {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 50_000,
        None => 1_500,
    }
}

/// What reading the record must come to.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    Sound,
    Corrupt,
    Newer,
}

fn fate(bytes: &[u8]) -> Fate {
    match SessionRecord::decode(bytes.to_vec()).map_err(|error| error.kind()) {
        Ok(_) => Fate::Sound,
        Err(StoreErrorKind::NewerFormat) => Fate::Newer,
        Err(_) => Fate::Corrupt,
    }
}

/// All but the time of the last use, which a renewal moves.
fn but_seen(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(seen) = bytes.get_mut(89..97) {
        seen.fill(0);
    }
    bytes
}

fn kind<T>(result: &Result<T, SessionError>) -> Option<SessionErrorKind> {
    result.as_ref().err().map(SessionError::kind)
}

#[tokio::test]
async fn whatever_the_damage_every_operation_has_its_documented_outcome() {
    let mut world = World::new();
    let mut dice = Dice(0x5eed);
    let mut met: BTreeMap<_, usize> = BTreeMap::new();
    for round in 0..rounds() {
        let good = world.fresh().await;
        let bytes = dice.damaged(&good);
        let undecodable = [Undecodable::Error, Undecodable::Discard][dice.below(2)];
        let operation = dice.below(11);
        if operation != 7 {
            world.damage(&bytes);
        }
        let at = format!("round {round}, operation {operation}, {undecodable:?}, {bytes:?}");
        let fate = fate(&bytes);
        *met.entry((operation, format!("{fate:?}"))).or_default() += 1;
        match operation {
            0 => world.read(undecodable, &bytes, fate, &at).await,
            1..=6 => world.write(operation, undecodable, &bytes, fate, &at).await,
            7 => world.overtake(undecodable, &bytes, fate, &at).await,
            8 => world.log_out(undecodable, &bytes, &at).await,
            9 => world.renew(&bytes, fate, &at).await,
            _ => world.administrate(&bytes, fate, &at).await,
        }
    }
    assert_eq!(met.len(), 33, "each with each: {met:?}");
}

impl World {
    async fn read(&mut self, undecodable: Undecodable, bytes: &[u8], fate: Fate, at: &str) {
        let layer = self.layer(undecodable);
        let answer = request(&layer, &self.cookie, async |session: Session| {
            let read = session.get::<String>("text").await;
            let expected = expected(fate, undecodable);
            // A field of a sound record may be no JSON any more.
            let decode = expected.or(Some(SessionErrorKind::Decode));
            assert!([expected, decode].contains(&kind(&read)), "{read:?}, {at}");
            assert_eq!(kind(&session.user().await), expected, "{at}");
            assert_eq!(kind(&session.fields().await), expected, "{at}");
            OK
        })
        .await;
        assert_eq!((answer.status, answer.set_cookie()), (OK, None), "{at}");
        let after = self.stored().expect("a read deletes nothing");
        match fate {
            Fate::Sound => assert_eq!(but_seen(&after), but_seen(bytes), "{at}"),
            _ => assert_eq!(after, bytes, "overwritten, {at}"),
        }
    }

    async fn write(
        &mut self,
        operation: usize,
        undecodable: Undecodable,
        bytes: &[u8],
        fate: Fate,
        at: &str,
    ) {
        let layer = self.layer(undecodable);
        let passes = expected(fate, undecodable).is_none();
        // Whatever comes of it comes of it again: nothing gets stuck half-way.
        for _ in 0..2 {
            let mut failed = None;
            let answer = request(&layer, &self.cookie, async |session: Session| {
                failed = write(&session, operation).await.err();
                match failed {
                    None => OK,
                    Some(_) => StatusCode::SERVICE_UNAVAILABLE,
                }
            })
            .await;
            let failed = failed.map(|error| error.kind());
            let after = self.stored();
            if fate == Fate::Sound {
                // The damage may be in the verifier, in a deadline, or in the number.
                use SessionErrorKind::{Decode, Gone, NotInteger};
                let said = failed.is_none_or(|kind| [Decode, Gone, NotInteger].contains(&kind));
                assert!(
                    said && (answer.status == OK || failed.is_some()),
                    "{failed:?}, {at}"
                );
                let over = self.is_over(after.as_ref(), bytes);
                let sound = after.is_some_and(|after| self::fate(&after) == Fate::Sound);
                return assert!(over || sound, "damaged further, {at}");
            }
            assert_eq!(after.as_deref(), Some(bytes), "overwritten, {at}");
            let fresh = answer.set_cookie();
            assert_eq!(answer.status == OK, fresh.is_some(), "{answer:?}, {at}");
            // To a stranger's token a script says no more than that it opens nothing.
            let ours = bytes.get(9..41) == self.good.get(9..41);
            let stranger = fate == Fate::Corrupt && !ours && answer.status == OK;
            assert!(
                stranger || passes == fresh.is_some(),
                "{answer:?}, {failed:?}, {at}"
            );
            assert!(
                fresh.is_none_or(|fresh| fresh[..30] != self.cookie[..30]),
                "{at}"
            );
        }
    }

    /// The damage comes between a read and the commit.
    async fn overtake(&mut self, undecodable: Undecodable, bytes: &[u8], fate: Fate, at: &str) {
        let layer = self.layer(undecodable);
        let cookie = self.cookie.clone();
        let answer = request(&layer, &cookie, async |session: Session| {
            assert!(session.get::<String>("text").await.unwrap().is_some());
            self.damage(bytes);
            session.set("text", "another").unwrap();
            OK
        })
        .await;
        let after = self.stored();
        let over = self.is_over(after.as_ref(), bytes);
        let after = after.unwrap_or_default();
        // Where only the fields are damaged, those that were read are put in their place.
        let fine = after == bytes || self::fate(&after) == Fate::Sound;
        assert!(over || fine, "{answer:?}, {at}");
        assert_eq!(answer.set_cookie(), None, "{at}");
        if answer.status != OK {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{at}");
            assert!(
                expected(fate, undecodable).is_some() && after == bytes,
                "{at}"
            );
        }
        assert!(fate != Fate::Newer || answer.status != OK, "{at}");
    }

    async fn log_out(&mut self, undecodable: Undecodable, bytes: &[u8], at: &str) {
        let layer = self.layer(undecodable);
        let mut ended = Ok(false);
        let answer = request(&layer, &self.cookie, async |session: Session| {
            ended = session.destroy().await;
            OK
        })
        .await;
        // Whose session it is stands in the head; behind that may be what will.
        let good = bytes.len() >= 117 && bytes[0] == 1 && bytes[9..41] == self.good[9..41];
        assert_eq!(matches!(ended, Ok(true)), good, "{ended:?}, {at}");
        assert_eq!(answer.is_removal(), good, "{at}");
        assert_eq!(self.stored().as_deref(), (!good).then_some(bytes), "{at}");
    }

    async fn renew(&mut self, bytes: &[u8], fate: Fate, at: &str) {
        let layer = SessionLayer::new(RenewInstead(self.store.clone()));
        let layer = layer.with_undecodable(Undecodable::Error);
        let mut renewed = Ok(false);
        request(&layer, &self.cookie, async |session: Session| {
            renewed = session.destroy().await;
            OK
        })
        .await;
        match (self.stored(), &renewed) {
            (Some(after), Ok(true)) => assert_eq!(but_seen(&after), but_seen(bytes), "{at}"),
            (after, Ok(true)) => assert!(self.is_over(after.as_ref(), bytes), "{at}"),
            (after, _) => assert_eq!(after.as_deref(), Some(bytes), "{at}"),
        }
        if fate == Fate::Newer {
            assert_eq!(kind(&renewed), Some(SessionErrorKind::Unavailable), "{at}");
        }
        let millis: i64 = self.redis.pttl(&self.key).unwrap();
        assert_ne!(millis, -1, "kept for ever, {at}");
    }

    async fn administrate(&mut self, bytes: &[u8], fate: Fate, at: &str) {
        let users = self.users.clone();
        let listed = users.sessions("ada").await;
        assert_eq!(self.stored().as_deref(), Some(bytes), "{at}");
        let record = SessionRecord::decode(bytes.to_vec()).ok();
        let is_adas = record.is_some_and(|record| record.user() == Some("ada"));
        match (&listed, fate) {
            (Ok(found), Fate::Sound) => assert_eq!(found.len(), usize::from(is_adas), "{at}"),
            // A list shows heads: the fields behind them may be damaged, or the name another one.
            (Ok(found), _) => assert!(fate == Fate::Corrupt && found.len() <= 1, "{at}"),
            (Err(_), _) => assert_eq!(kind(&listed), expected(fate, Undecodable::Error), "{at}"),
        }
        let ended = users.revoke_all("ada").await;
        let expected = match fate {
            Fate::Newer => Some(SessionErrorKind::Unavailable),
            _ => kind(&ended).filter(|kind| *kind == SessionErrorKind::Corrupt),
        };
        assert_eq!(kind(&ended), expected, "{at}");
        match self.stored() {
            None => assert!(matches!(ended, Ok(1)), "{ended:?}, {at}"),
            Some(after) => assert!(after == bytes && !is_adas, "{ended:?}, {at}"),
        }
    }
}

async fn write(session: &Session, operation: usize) -> Result<(), SessionError> {
    match operation {
        1 => {
            session.fields().await?;
            session.set("text", "another")
        }
        2 => session.set("text", "another"),
        3 => session.increment("n", 1).await.map(drop),
        4 => (session.update("n", |n: Option<i64>| n.or(Some(1))).await).map(drop),
        5 => {
            session.rotate()?;
            session.set("text", "another")
        }
        _ => session.bind("ada"),
    }
}

fn expected(fate: Fate, undecodable: Undecodable) -> Option<SessionErrorKind> {
    match (fate, undecodable) {
        (Fate::Newer, _) => Some(SessionErrorKind::Unavailable),
        (Fate::Corrupt, Undecodable::Error) => Some(SessionErrorKind::Corrupt),
        _ => None,
    }
}
