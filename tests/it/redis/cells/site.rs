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
use tower_handoff::lock::{LockGuard, LockLayer, key};
use tower_handoff::once::{Job, Once, Outcome};
use tower_handoff::redis::{RedisBuilder, RedisHandle};
use tower_handoff::session::{Session, SessionLayer};

use crate::support::evidence::oneshot;

/// What a request may take beyond two time-outs, the one that it meets and one after it: for a machine that is
/// busy. At the usual time-out of 500 ms a hang of 5 s is found.
const BUSY: Duration = Duration::from_secs(3);
/// Those who wait may take longer than any fault lasts.
const WAIT: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub(super) struct Site {
    pub(super) redis: RedisHandle,
    app: Router,
    runs: Runs,
    /// No request may take longer, whatever Redis does.
    bound: Duration,
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
        Self::with_timeout(redis, Duration::from_millis(500))
    }

    pub(super) fn with_timeout(redis: RedisBuilder, timeout: Duration) -> Self {
        let redis = redis.command_timeout(timeout);
        let redis = redis.connect().expect("good settings");
        let runs = Runs::default();
        let app = app(&redis, &runs);
        let bound = 2 * timeout + BUSY;
        Self {
            redis,
            app,
            runs,
            bound,
        }
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
        let bound = if path.starts_with("/wait") {
            WAIT + self.bound
        } else {
            self.bound
        };
        let response = tokio::time::timeout(bound, oneshot(self.app.clone(), request)).await;
        let Ok(response) = response.unwrap_or_else(|_| panic!("{path} hangs"));
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let cookie = parts.headers.get(SET_COOKIE).map(|value| {
            let text = value.to_str().expect("ASCII");
            text.split(';').next().expect("a pair").to_owned()
        });
        if parts.status != StatusCode::OK {
            let says_when = parts.headers.contains_key(RETRY_AFTER);
            assert!(says_when, "{path}: {} without Retry-After", parts.status);
            assert_eq!(cookie, None, "{path}: {}", parts.status);
        }
        Answer {
            status: parts.status,
            cookie,
            body: String::from_utf8(body.to_vec()).expect("text"),
        }
    }
}

fn app(redis: &RedisHandle, runs: &Runs) -> Router {
    let locks = LockLayer::new(redis.locks(), key::path("cells:{name}"));
    let waiting = locks.clone().with_wait(WAIT).expect("a good wait");
    let fence = async |guard: LockGuard| guard.fence().to_string();
    let (once, runs) = (Once::new(redis.once()), runs.clone());
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
        .layer(SessionLayer::new(redis.sessions()))
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
            None => panic!("{error}"),
        },
    }
}
