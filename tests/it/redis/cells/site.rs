//! An instance that wears sessions, locks and jobs, and one request to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tower_handoff::lock::{LeaseTime, LockGuard, LockLayer, key};
use tower_handoff::once::{Job, Once, OnceError, Outcome};
use tower_handoff::redis::{RedisBuilder, RedisHandle};
use tower_handoff::session::{Session, SessionLayer};

use crate::support::evidence::oneshot;

/// What a request may take beyond two time-outs, the one that it meets and one after it: for a machine that is
/// busy. At the usual time-out of 500 ms a hang of 5 s is found.
const BUSY: Duration = Duration::from_secs(3);
/// Those who wait may take longer than any fault lasts.
const WAIT: Duration = Duration::from_secs(120);
/// Who waits is refused no later than this after the first time-out: where nobody wakes him he looks every
/// two seconds, and he puts up with a second in which the connection is replaced.
const GIVES_UP: Duration = Duration::from_secs(3);
/// In how many turns of its thread a request is refused that waits for nothing; one is usual, for the task of
/// a line.
const TURNS: usize = 20;

#[derive(Clone)]
pub(super) struct Site {
    pub(super) redis: RedisHandle,
    app: Router,
    runs: Runs,
    terms: Terms,
    patience: Patience,
}

/// How soon an answer has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// As soon as [`Terms::bound`] says.
    Served,
    /// As before, but who waits for a lock is refused.
    Refused,
    /// In [`TURNS`]: counted, so that a busy machine changes nothing.
    AtOnce,
}

/// How a site is set up.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Terms {
    /// Of a command, and for the replicas.
    pub(in crate::redis) timeout: Duration,
    /// Of whatever it locks.
    pub(in crate::redis) lease: Duration,
    /// How many replicas writes of sessions and grants of locks wait for.
    pub(in crate::redis) replicas: u8,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(500),
            lease: LeaseTime::DEFAULT.get(),
            replicas: 0,
        }
    }
}

impl Terms {
    /// No request to this path may take longer, whatever Redis does.
    fn bound(&self, path: &str, patience: Patience) -> Duration {
        let bound = 2 * self.timeout + BUSY;
        // The round under way, the one after it, and Redis itself: a rotation waits for them twice.
        let bound = match self.replicas {
            0 => bound,
            _ => bound + 2 * 3 * self.timeout,
        };
        match path.split('/').nth(1) {
            Some("wait") if patience == Patience::Served => WAIT + bound,
            Some("wait") => GIVES_UP + bound,
            // Keeps its result for as long as its lease lasts, where a fault comes while it runs.
            Some("once") => self.lease + bound,
            _ => bound,
        }
    }
}

/// How often each job was run.
type Runs = Arc<Mutex<BTreeMap<u64, u64>>>;

/// What an answer says.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Handed out or taken away.
    pub(super) cookie: Option<String>,
    pub(super) body: String,
}

impl Site {
    pub(super) fn new(redis: RedisBuilder) -> Self {
        Self::on(redis, Terms::default())
    }

    pub(super) fn on(redis: RedisBuilder, terms: Terms) -> Self {
        let redis = redis.command_timeout(terms.timeout);
        let redis = redis.connect().expect("good settings");
        let runs = Runs::default();
        let app = app(&redis, &runs, terms);
        Self {
            redis,
            app,
            runs,
            terms,
            patience: Patience::Served,
        }
    }

    /// Where nobody gets the lock that he waits for.
    pub(super) fn refuses(&self) -> Self {
        let patience = Patience::Refused;
        Self {
            patience,
            ..self.clone()
        }
    }

    /// Where it is known that Redis is away: nobody waits for it. For a runtime of one thread.
    pub(super) fn answers_at_once(&self) -> Self {
        let patience = Patience::AtOnce;
        Self {
            patience,
            ..self.clone()
        }
    }

    /// No longer does who is in line wait for his refusal.
    pub(super) fn refusal(&self) -> Duration {
        self.terms.bound("/wait", Patience::Refused)
    }

    pub(super) fn epoch(&self) -> u64 {
        *self.redis.wire().epochs().borrow()
    }

    pub(super) fn runs(&self, job: u64) -> u64 {
        let runs = self.runs.lock().expect("no panic");
        runs.get(&job).copied().unwrap_or(0)
    }

    /// One request; what all answers have in common is checked here.
    pub(super) async fn send(&self, path: &str, cookie: &str) -> Answer {
        let request = Request::post(path).header(COOKIE, cookie);
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let answer = oneshot(self.app.clone(), request);
        let Ok(response) = match self.patience {
            Patience::AtOnce => in_turns(path, answer).await,
            patience => tokio::time::timeout(self.terms.bound(path, patience), answer)
                .await
                .unwrap_or_else(|_| panic!("{path} hangs")),
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let cookie = parts.headers.get(SET_COOKIE).map(|value| {
            let text = value.to_str().expect("ASCII");
            text.split(';').next().expect("a pair").to_owned()
        });
        if parts.status != StatusCode::OK {
            // When to come back nobody knows where the outcome is unknown.
            let says_when = parts.headers.contains_key(RETRY_AFTER);
            let should = parts.status != StatusCode::INTERNAL_SERVER_ERROR;
            assert_eq!(says_when, should, "{path}: {}: Retry-After", parts.status);
            // What is rotated on the master is so, though too few replicas know of it.
            let may_rotate = self.terms.replicas > 0 && path == "/rotate";
            assert!(may_rotate || cookie.is_none(), "{path}: {cookie:?}");
        }
        Answer {
            status: parts.status,
            cookie,
            body: String::from_utf8(body.to_vec()).expect("text"),
        }
    }
}

/// Answered without anything that this thread would have to sleep for: a turn is one of every task that can
/// run, and a look at sockets and time.
async fn in_turns<T>(path: &str, answer: impl Future<Output = T>) -> T {
    let turns = async {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        () = turns => panic!("{path} waits for something though Redis is known to be away"),
    }
}

fn app(redis: &RedisHandle, runs: &Runs, terms: Terms) -> Router {
    let Terms {
        timeout,
        lease,
        replicas,
    } = terms;
    let (mut sessions, mut locks) = (redis.sessions(), redis.locks());
    if replicas > 0 {
        sessions = sessions.replicas(replicas, timeout).expect("in range");
        locks = locks.replicas(replicas, timeout).expect("in range");
    }
    let locks = LockLayer::new(locks, key::path("cells:{name}"));
    let locks = locks.with_lease(lease).expect("a good lease");
    let waiting = locks.clone().with_wait(WAIT).expect("a good wait");
    let fence = async |guard: LockGuard| guard.fence().to_string();
    let once = Once::new(redis.once()).with_lease(lease);
    let (once, runs) = (once.expect("a good lease"), runs.clone());
    let job = async move |Path(number): Path<u64>| run(&once, number, &runs).await;
    let read = async |session: Session| session.get::<u64>("n").await.map(Json);
    let write = async |session: Session, Path(n): Path<u64>| session.set("n", &n);
    let logout = async |session: Session| session.destroy().await.map(Json);
    Router::new()
        .route("/untouched", post(async |_: Session| ()))
        .route("/read", post(read))
        .route("/write/{n}", post(write))
        .route("/rotate", post(async |session: Session| session.rotate()))
        .route("/logout", post(logout))
        .layer(SessionLayer::new(sessions))
        .route("/lock/{name}", post(fence).layer(locks.with_try()))
        .route("/wait/{name}", post(fence).layer(waiting))
        .route("/once/{number}", post(job))
}

async fn run(once: &Once, number: u64, runs: &Runs) -> Response {
    let job = Job::new(format!("job-{number}")).expect("a good name");
    let job = job.with_fresh_for(Duration::from_secs(3600));
    let work = async |_| {
        *runs.lock().expect("no panic").entry(number).or_default() += 1;
        Ok::<_, std::convert::Infallible>(number)
    };
    match once.run(&job.expect("a good time"), work).await {
        Ok(Outcome::Ran(value) | Outcome::Fresh(value)) => Json(value).into_response(),
        Ok(outcome) => panic!("nobody else runs jobs here: {outcome:?}"),
        Err(error) => match error.refusal() {
            Some(refusal) => refusal.response().map(axum::body::Body::from),
            None if matches!(error, OnceError::NotKept(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            None => panic!("{error}"),
        },
    }
}
