//! What handlers do to their session, and what the commit rules say of each: the one table that the
//! tests of commits, cancellations and upgrades go by.

use http::StatusCode;
use tower_handoff::session::{
    CommitOutcome, Session, SessionError, SessionId, SessionLayer, Users,
};

use super::late::World;
use super::support::{Answer, read, request};
use super::users::{id_of, listed};

/// What the handler does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Write,
    BlindWrite,
    Rotate,
    RotateAndWrite,
    LogIn,
    Logout,
    LogoutAndWrite,
    /// Without a session before.
    Begin,
    Increment,
    SaveAndWrite,
    SaveRotationAndWrite,
}

/// What the response tells the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// Another token for the same session.
    Rotated,
    /// A token for another session.
    Fresh,
    Removal,
}

/// What must be true afterwards.
#[derive(Debug)]
pub(super) struct Expected {
    /// The session from before is there, with this in its cart.
    pub(super) cart: Option<&'static str>,
    pub(super) counted: bool,
    /// Its old cookie still opens it.
    pub(super) old_opens: bool,
    pub(super) bound: bool,
    pub(super) told: Told,
    pub(super) outcome: Option<CommitOutcome>,
}

impl What {
    pub(super) const ALL: [Self; 11] = [
        Self::Write,
        Self::BlindWrite,
        Self::Rotate,
        Self::RotateAndWrite,
        Self::LogIn,
        Self::Logout,
        Self::LogoutAndWrite,
        Self::Begin,
        Self::Increment,
        Self::SaveAndWrite,
        Self::SaveRotationAndWrite,
    ];

    pub(super) async fn act(self, session: &Session, user: &str) -> Result<(), SessionError> {
        match self {
            Self::Write | Self::RotateAndWrite | Self::SaveAndWrite => {
                session.get::<String>("cart").await?;
            }
            _ => {}
        }
        match self {
            Self::Write | Self::BlindWrite | Self::Begin => {}
            Self::Rotate => return session.rotate(),
            Self::RotateAndWrite => session.rotate()?,
            Self::LogIn => session.bind(user)?,
            Self::Logout => return session.destroy().await.map(|was_there| assert!(was_there)),
            Self::LogoutAndWrite => assert!(session.destroy().await?),
            Self::Increment => return session.increment("n", 1).await.map(drop),
            Self::SaveAndWrite => {
                session.set("cart", "saved")?;
                session.save().await?;
            }
            Self::SaveRotationAndWrite => {
                session.rotate()?;
                session.set("cart", "saved")?;
                session.save().await?;
            }
        }
        session.set("cart", "new")
    }

    /// Whether it asks the store for nothing before the commit.
    pub(super) fn is_lazy(self) -> bool {
        matches!(
            self,
            Self::BlindWrite | Self::Rotate | Self::LogIn | Self::Begin
        )
    }

    /// What the commit rules say, where the request's changes are committed or discarded, and the
    /// response is there to tell or is not.
    pub(super) fn expected(self, commits: bool, answers: bool) -> Expected {
        let old = Expected {
            cart: Some("old"),
            counted: false,
            old_opens: true,
            bound: false,
            told: Told::Nothing,
            outcome: Some(match commits {
                true => CommitOutcome::Written,
                false => CommitOutcome::Discarded,
            }),
        };
        let new = |told: Told| Expected {
            cart: Some("new"),
            old_opens: told == Told::Nothing,
            told,
            ..old
        };
        let told = |told: Told| if answers { told } else { Told::Nothing };
        let ended = |told: Told, outcome| Expected {
            cart: None,
            old_opens: false,
            told,
            outcome,
            ..old
        };
        match (self, commits) {
            (Self::Increment, _) => Expected {
                counted: true,
                outcome: None,
                ..old
            },
            // What acts at its await stays, whatever comes of the request.
            (Self::Logout, _) => ended(told(Told::Removal), None),
            (Self::LogoutAndWrite | Self::Begin, true) => ended(Told::Fresh, old.outcome),
            (Self::LogoutAndWrite, false) => ended(told(Told::Removal), old.outcome),
            (Self::SaveAndWrite, false) => Expected {
                cart: Some("saved"),
                ..old
            },
            (Self::SaveRotationAndWrite, false) => Expected {
                cart: Some("saved"),
                old_opens: false,
                told: told(Told::Rotated),
                ..old
            },
            (Self::Begin, false) => ended(Told::Nothing, old.outcome),
            (_, false) => old,
            (Self::Write | Self::BlindWrite | Self::SaveAndWrite, true) => new(Told::Nothing),
            (Self::RotateAndWrite | Self::SaveRotationAndWrite, true) => new(Told::Rotated),
            (Self::LogIn, true) => Expected {
                bound: true,
                ..new(Told::Rotated)
            },
            (Self::Rotate, true) => Expected {
                old_opens: false,
                told: Told::Rotated,
                ..old
            },
        }
    }
}

/// Looks at the store and at the response; returns the cookie that the browser has now.
pub(super) async fn check(
    world: &World,
    layer: &SessionLayer,
    before: &str,
    id: Option<SessionId>,
    user: &str,
    answer: Option<&Answer>,
    expected: &Expected,
) -> String {
    let told = answer.and_then(Answer::set_cookie);
    let now = match (&told, expected.told) {
        (None, Told::Nothing) => before.to_owned(),
        (Some(_), Told::Removal) => {
            assert!(answer.unwrap().is_removal());
            String::new()
        }
        (Some(token), Told::Rotated | Told::Fresh) => {
            assert!(!token.ends_with('='), "a removal");
            let same = id_of(layer, token).await == id;
            assert_eq!(same, expected.told == Told::Rotated, "whose token it is");
            token.clone()
        }
        _ => panic!("told {told:?}"),
    };
    if let Some(answer) = answer {
        assert_eq!(answer.outcome, expected.outcome);
    }
    let there = match &id {
        Some(id) => world.is_there(id).await,
        None => false,
    };
    assert_eq!(there, expected.cart.is_some(), "whether it is there");
    let opens = id_of(layer, before).await.is_some();
    assert_eq!(opens, expected.old_opens, "whether the old cookie opens it");
    if let (Some(cart), true) = (expected.cart, opens || told.is_some()) {
        assert_eq!(read(layer, &now, "cart").await.as_deref(), Some(cart));
        let counted = read_number(layer, &now).await;
        assert_eq!(counted.is_some(), expected.counted, "the counter");
    }
    if expected.told == Told::Fresh {
        assert_eq!(read(layer, &now, "cart").await.as_deref(), Some("new"));
    }
    let list = listed(&Users::new(world.store.clone()), user).await;
    assert_eq!(list.len(), usize::from(expected.bound), "the user's list");
    assert!(!expected.bound || list.contains(&id.unwrap()));
    now
}

async fn read_number(layer: &SessionLayer, cookie: &str) -> Option<i64> {
    let mut number = None;
    request(layer, cookie, async |session| {
        number = session.get("n").await.unwrap();
        StatusCode::OK
    })
    .await;
    number
}
