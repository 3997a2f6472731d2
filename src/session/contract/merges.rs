//! Random change sets, saved by every plan.
//! Floor 3.

use bytes::Bytes;

use crate::session::change::ChangeSet;
use crate::session::contract::fixture::{create, expiry, kind, load, save};
use crate::session::expiry::SessionExpiry;
use crate::session::fields;
use crate::session::save::{Plan, Save, SaveOutcome};
use crate::session::store::SessionStore;
use crate::session::terms::Terms;
use crate::session::token::Token;

/// Saves `rounds` random change sets, by all plans, and compares outcome and fields with
/// [`Save::apply`] every time. The same seed makes the same changes.
///
/// # Panics
/// At the first difference, saying which round.
pub async fn check_merges<S: SessionStore>(store: &S, seed: u64, rounds: u32) {
    let mut dice = Dice(seed | 1);
    let mut token = create(store, &SessionExpiry::default(), &[]).await;
    let mut model = load(store, &token).await;
    let mut stale = model.clone();
    for round in 0..rounds {
        let at = format!("seed {seed}, round {round}");
        if dice.below(500) == 0 {
            token = create(store, &SessionExpiry::default(), &[]).await;
            model = load(store, &token).await;
        }
        if dice.below(4) == 0 {
            // As stored, to the millisecond: what is replaced as a whole is compared byte by byte.
            stale = load(store, &token).await;
        }
        let changes = dice.changes();
        let name = dice.name();
        let by = dice.addend();
        let plan = match dice.below(4) {
            0 => Plan::Merge,
            1 => Plan::ReplaceOrMerge(&stale),
            2 => Plan::ReplaceOrReport(&stale),
            _ => Plan::Add { name: &name, by },
        };
        let next = (dice.below(10) == 0).then(|| token.rotated());
        let terms = dice.terms();
        let save = Save {
            rotate_to: next.as_ref().map(Token::hash),
            terms: &terms,
            ..save(&token, &changes, plan)
        };
        let (expected, record) = save.apply(Some(&model), store.now_ms());
        let actual = store.save(token.id(), &save).await;
        let actual = actual.unwrap_or_else(|error| panic!("save fails: {error}, {at}"));
        assert_eq!(kind(&actual), kind(&expected), "the outcome, {at}");
        if let (SaveOutcome::Saved(actual), SaveOutcome::Saved(expected)) = (&actual, &expected) {
            assert_eq!(actual.sum, expected.sum, "the sum, {at}");
            assert_eq!(actual.persistent, expected.persistent, "the flags, {at}");
        }
        if let Some(record) = record {
            model = record;
            token = next.unwrap_or(token);
        }
        let stored = load(store, &token).await;
        assert_eq!(stored.fields(), model.fields(), "the fields, {at}");
        assert_eq!(stored.version(), model.version(), "the version, {at}");
        assert_eq!(stored.user(), model.user(), "the user, {at}");
        assert_eq!(stored.label(), model.label(), "the label, {at}");
        assert_eq!(stored.persistent(), model.persistent(), "the flags, {at}");
        assert_eq!(stored.idle_ms(), model.idle_ms(), "the time-out, {at}");
    }
}

/// Xorshift: the same seed, the same throws.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn name(&mut self) -> String {
        match self.below(12) {
            0 => "ä\u{0}\n".to_owned(),
            1 => "n".repeat(128),
            n => format!("f{}", n % 6),
        }
    }

    fn addend(&mut self) -> i64 {
        match self.below(4) {
            0 => fields::COUNTER_MAX,
            1 => -fields::COUNTER_MAX,
            n => n as i64 - 5,
        }
    }

    fn terms(&mut self) -> Terms {
        let mut text = |texts: &[&str]| {
            let n = self.below(4 * texts.len() as u64) as usize;
            texts.get(n).map(|text| (*text).into())
        };
        let user = text(&["", "ada", "ä}{:%\u{0}", &"u".repeat(256)]);
        let label = text(&["", "désktop", &"l".repeat(255)]);
        let hour = 60 * 60 * 1000;
        Terms {
            user,
            label,
            expiry: (self.below(8) == 0).then(|| expiry(hour * (1 + self.below(3)), 9 * hour)),
            persistent: [Some(None), Some(Some(true)), Some(Some(false))]
                .get(self.below(9) as usize)
                .copied()
                .flatten(),
        }
    }

    fn changes(&mut self) -> ChangeSet {
        let mut changes = ChangeSet::default();
        for _ in 0..self.below(5) {
            let name = self.name();
            let value = match self.below(6) {
                0 => None,
                1 => Some(Bytes::from(self.addend().to_string())),
                2 => Some(Bytes::from(self.below(100).to_string())),
                3 => Some(Bytes::from_static(b"")),
                _ => {
                    let length = self.below(120) as usize;
                    Some((0..length).map(|_| self.below(256) as u8).collect())
                }
            };
            changes.put(&name, value);
        }
        changes
    }
}
