//! Records that were damaged in Redis: every operation has an answer, none makes it worse.

use std::collections::BTreeMap;

use http::StatusCode;
use redis::{Commands, Connection};
use tower_handoff::session::{
    NewSession, RedisSessions, Revoke, Save, SaveOutcome, Session, SessionError, SessionErrorKind,
    SessionId, SessionLayer, SessionRecord, SessionStore, StoreError, StoreErrorKind, Undecodable,
    UserSession, Users, VerifierHash,
};

use super::support::request;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;

const OK: StatusCode = StatusCode::OK;

fn rounds() -> u32 {
    match std::env::var_os("TOWER_HANDOFF_LONG") {
        Some(_) => 50_000,
        None => 1_500,
    }
}

/// Xorshift: the same seed, the same damage.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// What disks, memory, other programs and other versions do to a record.
    fn damaged(&mut self, record: &[u8]) -> Vec<u8> {
        let mut bytes = record.to_vec();
        match self.below(10) {
            0..3 => {
                for _ in 0..=self.below(4) {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
            }
            3 => bytes.truncate(self.below(record.len())),
            4 => bytes.extend((0..=self.below(40)).map(|_| self.below(256) as u8)),
            // A time: never, the last that Lua counts, the first that it does not, for ever.
            5 | 6 => {
                let at = 73 + 8 * self.below(5);
                let time = [0, 1, 1 << 53, (1 << 53) + 1, 1 << 63, u64::MAX][self.below(6)];
                bytes[at..at + 8].copy_from_slice(&time.to_be_bytes());
            }
            // A length of the head, or whatever stands after it.
            7 | 8 => {
                let at = 113 + self.below(bytes.len() - 113);
                let end = bytes.len().min(at + 1 + self.below(4));
                bytes[at..end].fill([0, 1, 0x7f, 0x80, 0xc3, 0xff][self.below(6)]);
            }
            _ => bytes[0] = self.below(256) as u8,
        }
        bytes
    }
}

struct World {
    redis: Connection,
    _server: RedisServer,
    store: RedisSessions,
    users: Users,
    cookie: String,
    key: String,
    /// What was stored before the damage.
    good: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let server = RedisServer::start();
        let client = redis::Client::open(server.url()).unwrap();
        let store = patient(&server.url()).sessions();
        Self {
            redis: client.get_connection().unwrap(),
            _server: server,
            users: Users::new(store.clone()),
            store,
            cookie: String::new(),
            key: String::new(),
            good: Vec::new(),
        }
    }

    fn layer(&self, undecodable: Undecodable) -> SessionLayer {
        SessionLayer::new(self.store.clone()).with_undecodable(undecodable)
    }

    /// Ada logs in; what is stored then.
    async fn fresh(&mut self) -> Vec<u8> {
        let () = redis::cmd("FLUSHALL").query(&mut self.redis).unwrap();
        let answer = request(&self.layer(Undecodable::Error), "", async |session| {
            session.bind("ada").unwrap();
            session.set_label("d\u{e9}sktop").unwrap();
            session.set("n", &41).unwrap();
            session.set("text", "some text").unwrap();
            OK
        })
        .await;
        self.cookie = answer.token();
        let keys: Vec<String> = self.redis.keys("app:s1:*").unwrap();
        self.key.clone_from(&keys[0]);
        self.good = self.stored().unwrap();
        self.good.clone()
    }

    fn stored(&mut self) -> Option<Vec<u8>> {
        self.redis.get(&self.key).unwrap()
    }

    /// Whether a time-out that was damaged was over at once.
    fn is_over(&self, after: Option<&Vec<u8>>, bytes: &[u8]) -> bool {
        after.is_none() && bytes.get(97..113) != self.good.get(97..113)
    }

    fn damage(&mut self, bytes: &[u8]) {
        let mut set = redis::cmd("SET");
        let set = set.arg(&self.key).arg(bytes).arg("KEEPTTL");
        let () = set.query(&mut self.redis).unwrap();
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

/// Renews where the handle destroys: a renewal is nothing that a handler can ask for.
struct RenewInstead(RedisSessions);

impl SessionStore for RenewInstead {
    fn now_ms(&self) -> u64 {
        self.0.now_ms()
    }

    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.0.load(id).await
    }

    async fn create(&self, id: &SessionId, new: &NewSession<'_>) -> Result<bool, StoreError> {
        self.0.create(id, new).await
    }

    async fn save(&self, id: &SessionId, save: &Save<'_>) -> Result<SaveOutcome, StoreError> {
        self.0.save(id, save).await
    }

    async fn renew(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.0.renew(id, verifier).await
    }

    async fn destroy(&self, id: &SessionId, verifier: &VerifierHash) -> Result<bool, StoreError> {
        self.0.renew(id, verifier).await
    }

    async fn sessions_of(&self, user: &str) -> Result<Vec<UserSession>, StoreError> {
        self.0.sessions_of(user).await
    }

    async fn revoke(&self, user: &str, which: Revoke) -> Result<u64, StoreError> {
        self.0.revoke(user, which).await
    }
}
