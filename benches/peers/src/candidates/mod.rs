//! The same service on each way to keep sessions.
//!
//! Every router answers `PUT /seed` with a session of ten fields of about fifty bytes, and then
//!
//! | route | what the handler does | answers |
//! |---|---|---|
//! | `/none` | does not touch its session | `none` |
//! | `/read` | reads one field | the field |
//! | `/write` | reads `n`, writes `n + 1` | `n + 1` |
//! | `/set` | writes a field and reads none | the new value |
//! | `/increment` | adds one to `n`, atomically where that is offered | the sum |
//! | `/login` | new secret or id for the same session, and a field written | nothing |
//! | `/state` | reads what the others write | `n`, a space, the field of `/set` |

mod handoff;
mod raw;
mod tower_sessions;
mod visitor;

use axum::Router;

use crate::Error;

/// One way to keep sessions in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    Raw,
    TowerSessions,
    TowerSessionsReadme,
    Handoff,
}

impl Candidate {
    pub const ALL: [Self; 4] = [
        Self::Raw,
        Self::TowerSessions,
        Self::TowerSessionsReadme,
        Self::Handoff,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::TowerSessions => "TS",
            Self::TowerSessionsReadme => "TS-readme",
            Self::Handoff => "tower-handoff",
        }
    }

    pub fn of_name(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("candidate is {name:?}; accepted: {names}").into()
        })
    }

    /// Whether increments of one session by many requests at a time all count.
    pub fn increments_atomically(self) -> bool {
        self == Self::Handoff
    }

    pub async fn router(self, redis: &str) -> Result<Router, Error> {
        match self {
            Self::Raw => raw::router(redis).await,
            Self::TowerSessions => tower_sessions::router(redis, 1).await,
            Self::TowerSessionsReadme => tower_sessions::router(redis, 6).await,
            Self::Handoff => handoff::router(redis),
        }
    }
}

pub const LEGEND: &str = "\
raw: hand-written minimum: GETEX, SET EX XX, typed struct, JSON, one redis-rs connection without
response time-out; overwrites where others guard. TS: tower-sessions 0.14 with its Redis store 0.16
(0.15 has none), pool of 1, its best. TS-readme: the same with its documented pool of 6.";
