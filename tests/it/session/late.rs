//! What slow requests do, and what ends their sessions meanwhile: the two sides of the tests that
//! let one overtake the other.

use redis::Value;
use tower_handoff::session::{
    Session, SessionError, SessionErrorKind, SessionExpiry, SessionId, SessionLayer, SessionStore,
    Users,
};

use super::support::{Store, request, visit};
use super::users::{id_of, log_in};
use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

/// What a slow request does to a session that may have ended meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Write,
    Remove,
    Take,
    Rotate,
    RotateAndWrite,
    Save,
    SaveRotation,
    Increment,
    Update,
    LogIn,
    LogInAsOther,
    LogOutOfUser,
    Label,
    Expiry,
    Destroy,
    DestroyAndWrite,
}

impl Late {
    pub(super) const ALL: [Self; 16] = [
        Self::Write,
        Self::Remove,
        Self::Take,
        Self::Rotate,
        Self::RotateAndWrite,
        Self::Save,
        Self::SaveRotation,
        Self::Increment,
        Self::Update,
        Self::LogIn,
        Self::LogInAsOther,
        Self::LogOutOfUser,
        Self::Label,
        Self::Expiry,
        Self::Destroy,
        Self::DestroyAndWrite,
    ];

    /// Does it. What acts at its await says whether the session was gone.
    pub(super) async fn act(self, session: &Session, user: &str) -> Said {
        let mut said = Said::Nothing;
        match self {
            Self::Write => session.set("late", "1").unwrap(),
            Self::Remove => session.remove("cart").unwrap(),
            Self::Take => {
                // What was read before the session ended may still be told.
                let _: Option<String> = session.take("cart").await.unwrap();
            }
            Self::Rotate => session.rotate().unwrap(),
            Self::RotateAndWrite => {
                session.rotate().unwrap();
                session.set("late", "1").unwrap();
            }
            Self::Save => {
                session.set("late", "1").unwrap();
                said = Said::of(session.save().await);
            }
            Self::SaveRotation => {
                session.rotate().unwrap();
                session.set("late", "1").unwrap();
                said = Said::of(session.save().await);
            }
            Self::Increment => said = Said::of(session.increment("late", 1).await),
            Self::Update => {
                let update = session.update("late", |n: Option<u8>| n.or(Some(1)));
                said = Said::of(update.await);
            }
            Self::LogIn => {
                session.bind(user).unwrap();
                session.set("late", "1").unwrap();
            }
            Self::LogInAsOther => session.bind(&format!("not {user}")).unwrap(),
            Self::LogOutOfUser => session.unbind().unwrap(),
            Self::Label => session.set_label("late").unwrap(),
            Self::Expiry => session.set_expiry(SessionExpiry::default()).unwrap(),
            Self::Destroy => said = Said::destroyed(session.destroy().await.unwrap()),
            Self::DestroyAndWrite => {
                said = Said::destroyed(session.destroy().await.unwrap());
                session.set("late", "1").unwrap();
            }
        }
        said
    }

    /// Whether it gives a visitor without a session one.
    pub(super) fn starts_a_session(self) -> bool {
        !matches!(
            self,
            Self::Remove
                | Self::Take
                | Self::Rotate
                | Self::LogOutOfUser
                | Self::Label
                | Self::Expiry
                | Self::Destroy
        )
    }

    /// Whether it changes the secret of a session that lives.
    pub(super) fn rotates(self) -> bool {
        use Late::{LogIn, LogInAsOther, LogOutOfUser, Rotate, RotateAndWrite, SaveRotation};
        let rotating = [
            Rotate,
            RotateAndWrite,
            SaveRotation,
            LogIn,
            LogInAsOther,
            LogOutOfUser,
        ];
        rotating.contains(&self)
    }

    /// Whether it leaves anything for the commit once it has failed at its await.
    pub(super) fn commits(self) -> bool {
        !matches!(self, Self::Increment | Self::Update | Self::Destroy)
    }
}

/// What an operation said at its await.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Done,
    Gone,
    /// `destroy` found nothing to end.
    NothingThere,
}

impl Said {
    fn of<T: std::fmt::Debug>(result: Result<T, SessionError>) -> Self {
        match result {
            Ok(_) => Self::Done,
            Err(error) => {
                assert_eq!(error.kind(), SessionErrorKind::Gone);
                Self::Gone
            }
        }
    }

    fn destroyed(there: bool) -> Self {
        match there {
            true => Self::Done,
            false => Self::NothingThere,
        }
    }
}

/// What ends a session from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Logout,
    RevokeAll,
    RevokeOne,
    RevokeOthers,
    Expiry,
}

impl End {
    pub(super) const ALL: [Self; 5] = [
        Self::Logout,
        Self::RevokeAll,
        Self::RevokeOne,
        Self::RevokeOthers,
        Self::Expiry,
    ];
}

/// Where sessions are kept, and how time passes there.
pub(super) struct World {
    pub(super) store: Store,
    /// Without one the store is memory, and time is paused.
    server: Option<RedisServer>,
}

impl World {
    pub(super) fn memory() -> Self {
        Self {
            store: Store::memory(),
            server: None,
        }
    }

    pub(super) fn redis() -> Self {
        let server = RedisServer::start();
        Self {
            store: Store::patient(&server),
            server: Some(server),
        }
    }

    /// The store as another instance has it: in Redis's case over a connection of its own.
    pub(super) fn elsewhere(&self) -> Store {
        match &self.server {
            Some(server) => Store::patient(server),
            None => self.store.clone(),
        }
    }

    /// Redis's key of a session.
    pub(super) fn key(id: &SessionId) -> String {
        format!("app:s1:{{{id}}}")
    }

    /// Ends a session, and says whether there was something to end.
    pub(super) async fn end(&self, end: End, layer: &SessionLayer, victim: &Victim) -> bool {
        let Victim { user, cookie, id } = victim;
        let users = Users::new(self.store.clone());
        match end {
            End::Logout => {
                let mut ended = false;
                let answer = request(layer, cookie, async |session| {
                    ended = session.destroy().await.unwrap();
                    http::StatusCode::OK
                })
                .await;
                assert_eq!(
                    answer.is_removal(),
                    ended,
                    "the cookie goes with its session"
                );
                ended
            }
            End::RevokeAll => users.revoke_all(user).await.unwrap() > 0,
            End::RevokeOne => users.revoke(user, id).await.unwrap(),
            End::RevokeOthers => {
                let kept = log_in(layer, "", user).await.token();
                let kept = id_of(layer, &kept).await.unwrap();
                let ended = users.revoke_others(user, &kept).await.unwrap() > 0;
                assert!(users.revoke(user, &kept).await.unwrap(), "the other one");
                ended
            }
            End::Expiry => {
                self.expire(id).await;
                true
            }
        }
    }

    async fn expire(&self, id: &SessionId) {
        match &self.server {
            None => tokio::time::advance(SessionExpiry::default().idle()).await,
            Some(server) => {
                let key = Self::key(id);
                server.command(&["PEXPIRE", &key, "1"]);
                eventually("the key expires", async || !self.is_there(id).await).await;
            }
        }
    }

    /// How many sessions are kept.
    pub(super) async fn sessions(&self) -> usize {
        match &self.server {
            None => self.store.len(),
            Some(server) => {
                let keys = server.command(&["KEYS", "app:s1:*"]);
                redis::from_redis_value::<Vec<String>>(keys)
                    .expect("keys")
                    .len()
            }
        }
    }

    /// Whether anything is kept under the id: in Redis its own word for it.
    pub(super) async fn is_there(&self, id: &SessionId) -> bool {
        match &self.server {
            None => self.store.load(id).await.unwrap().is_some(),
            Some(server) => server.command(&["EXISTS", &Self::key(id)]) == Value::Int(1),
        }
    }
}

/// Whoever's session is going to end.
pub(super) struct Victim {
    pub(super) user: String,
    pub(super) cookie: String,
    pub(super) id: SessionId,
}

impl Victim {
    /// A user of that name who has just logged in, with something in the cart.
    pub(super) async fn log_in(layer: &SessionLayer, user: String) -> Self {
        let cookie = visit(layer, "", "cart", "full").await;
        let cookie = log_in(layer, &cookie, &user).await.token();
        let id = id_of(layer, &cookie).await.expect("a session");
        Self { user, cookie, id }
    }
}
