//! Writes that nobody answered, and that reach Redis long after, behind what was answered since: the
//! network kept them back, and sends what a connection that was given up still had on its way.

use std::time::Duration;

use http::StatusCode;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{Session, SessionErrorKind, SessionId, SessionLayer, Users};

use super::support::{Answer, read, request, visit};
use super::users::{id_of, log_in};
use crate::support::bad_line::BadLine;
use crate::support::eventually::{PATIENCE, eventually};
use crate::support::log::Log;
use crate::support::patient::patient;
use crate::support::redis_server::RedisServer;
use crate::support::retelling::retelling;

const OK: StatusCode = StatusCode::OK;
/// How long whoever is cut off waits for an answer.
const TIME_OUT: Duration = Duration::from_millis(500);

/// Two instances, one of them on a line that is going to be bad.
struct Two {
    server: RedisServer,
    line: BadLine,
    far_redis: RedisHandle,
    far: SessionLayer,
    far_users: Users,
    near: SessionLayer,
    near_users: Users,
}

impl Two {
    async fn start() -> Self {
        let server = RedisServer::start();
        let line = BadLine::start(server.port()).await;
        let of = |url: String, time_out| {
            let builder = RedisHandle::builder(url).command_timeout(time_out);
            let redis = builder.connect().unwrap();
            let sessions = redis.sessions();
            let layer = SessionLayer::new(sessions.clone());
            (redis, layer, Users::new(sessions))
        };
        let (far_redis, far, far_users) = of(line.url(), TIME_OUT);
        let (_, near, near_users) = of(server.url(), PATIENCE);
        let two = Self {
            server,
            line,
            far_redis,
            far,
            far_users,
            near,
            near_users,
        };
        two.teach().await;
        two
    }

    /// Redis knows all scripts from now on: one that it does not know is not carried out, however late.
    async fn teach(&self) {
        let cookie = visit(&self.near, "", "n", "0").await;
        visit(&self.near, &cookie, "n", "1").await;
        let cookie = log_in(&self.near, &cookie, "nobody").await.token();
        assert_eq!(self.near_users.revoke_all("nobody").await.unwrap(), 1);
        let cookie = visit(&self.near, &cookie, "n", "0").await;
        let logout = request(&self.near, &cookie, log_out).await;
        assert!(logout.is_removal());
        // And the other instance is connected.
        eventually("it is there", async || {
            request(&self.far, "", write).await.status == OK
        })
        .await;
    }

    /// Has an instance do what nobody hears of for longer than anybody waits.
    async fn unanswered<T>(&self, act: impl Future<Output = T>) -> T {
        // Or it would not be sent at all.
        eventually("it is connected", async || {
            self.far_redis.ping().await.is_ok()
        })
        .await;
        self.line.keep_back(true);
        let done = act.await;
        tokio::time::sleep(TIME_OUT).await;
        self.line.keep_back(false);
        done
    }

    /// A request of the instance that is cut off.
    async fn cut_off<F>(&self, cookie: &str, handler: impl FnOnce(Session) -> F) -> Answer
    where
        F: Future<Output = StatusCode>,
    {
        let answer = self.unanswered(request(&self.far, cookie, handler)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        answer
    }

    /// Not counted are those that begin a connection, which ask for a script that nobody has.
    fn scripts_run(&self) -> u64 {
        let text = self.server.command(&["INFO", "commandstats"]);
        let text: String = redis::from_redis_value(text).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
        let number = |name: &str| -> u64 {
            let found =
                line.and_then(|line| line.split(',').find_map(|part| part.strip_prefix(name)));
            found.map_or(0, |number| number.parse().unwrap())
        };
        number("calls=") - number("failed_calls=")
    }

    /// What was kept back comes, and is carried out.
    async fn lets_through(&self) {
        let before = self.scripts_run();
        self.line.let_through();
        eventually("it comes", async || self.scripts_run() > before).await;
    }

    async fn is_open(&self, cookie: &str) -> bool {
        read(&self.near, cookie, "n").await.is_some()
    }
}

async fn write(session: Session) -> StatusCode {
    session.set("n", "1").unwrap();
    OK
}

async fn log_out(session: Session) -> StatusCode {
    match session.destroy().await {
        Ok(_) => OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::test]
async fn a_write_that_nobody_answered_does_not_come_back_over_one_that_was_answered_since() {
    let two = Two::start().await;
    for reads_first in [false, true] {
        let cookie = visit(&two.near, "", "n", "0").await;
        two.cut_off(&cookie, async |session| {
            if reads_first {
                two.line.keep_back(false);
                // Its time-out is short, and this machine may be busy.
                eventually("it is read", async || {
                    let read = session.get::<String>("n").await;
                    read.is_ok_and(|n| n.as_deref() == Some("0"))
                })
                .await;
                two.line.keep_back(true);
            }
            write(session).await
        })
        .await;
        visit(&two.near, &cookie, "n", "2").await;
        two.lets_through().await;
        let kept = read(&two.near, &cookie, "n").await;
        assert_eq!(kept.as_deref(), Some("2"), "read first: {reads_first}");
    }
}

/// Who looks and finds nothing done asks again: it is done once then.
#[tokio::test]
async fn an_update_that_nobody_answered_is_not_done_after_somebody_looked() {
    let two = Two::start().await;
    let cookie = visit(&two.near, "", "n", "0").await;
    let update = async |session: Session| {
        two.line.keep_back(false);
        eventually("it is read", async || session.exists().await.is_ok()).await;
        two.line.keep_back(true);
        match session
            .update("n", |_: Option<String>| Some("1".to_owned()))
            .await
        {
            Ok(_) => OK,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    };
    two.cut_off(&cookie, update).await;
    let looks = async || read(&two.near, &cookie, "n").await;
    assert_eq!(looks().await.as_deref(), Some("0"));
    two.lets_through().await;
    assert_eq!(looks().await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_rotation_or_a_login_that_nobody_answered_shuts_nobody_out_who_was_let_in_since() {
    let two = Two::start().await;
    for user in [None, Some("ada")] {
        let cookie = visit(&two.near, "", "n", "0").await;
        let answer = two.cut_off(&cookie, async |session| {
            match user {
                Some(user) => session.bind(user).unwrap(),
                None => session.rotate().unwrap(),
            }
            OK
        });
        assert_eq!(answer.await.set_cookie(), None, "{user:?}");
        assert!(two.is_open(&cookie).await, "{user:?}");
        two.lets_through().await;
        assert!(two.is_open(&cookie).await, "{user:?}");
        visit(&two.near, &cookie, "n", "1").await;
        assert!(two.near_users.sessions("ada").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_session_that_nobody_was_told_of_does_not_begin_late() {
    let two = Two::start().await;
    let sessions = || -> Vec<String> {
        let keys = two.server.command(&["KEYS", "app:s1:*"]);
        redis::from_redis_value(keys).unwrap()
    };
    let before = sessions();
    let new = async |session: Session| {
        session.bind("ada").unwrap();
        write(session).await
    };
    two.cut_off("", new).await;
    assert_eq!(two.near_users.revoke_all("ada").await.unwrap(), 0);
    two.lets_through().await;
    assert_eq!(sessions(), before);
    assert!(two.near_users.sessions("ada").await.unwrap().is_empty());
}

/// Which of a user's sessions are to end.
#[derive(Debug, Clone, Copy)]
enum Which {
    All,
    Others,
    One,
}

impl Which {
    async fn end(self, users: &Users, id: &SessionId) -> Result<u64, SessionErrorKind> {
        let ended = match self {
            Self::All => users.revoke_all("ada").await,
            Self::Others => users.revoke_others("ada", id).await,
            Self::One => users.revoke("ada", id).await.map(u64::from),
        };
        ended.map_err(|error| error.kind())
    }
}

#[tokio::test]
async fn to_end_a_users_sessions_ends_none_that_began_after_somebody_was_told_that_they_ended() {
    let two = Two::start().await;
    for which in [Which::All, Which::Others, Which::One] {
        let cookie = visit(&two.near, "", "n", "0").await;
        let cookie = log_in(&two.near, &cookie, "ada").await.token();
        let id = id_of(&two.near, &cookie).await.unwrap();
        let perhaps = two.unanswered(which.end(&two.far_users, &id)).await;
        assert_eq!(perhaps, Err(SessionErrorKind::OutcomeUnknown), "{which:?}");
        let cookie = match which {
            // The id stays: it is another login of the same browser.
            Which::One => log_in(&two.near, &cookie, "ada").await.token(),
            _ => {
                assert!(which.end(&two.near_users, &id).await.is_ok());
                let cookie = visit(&two.near, "", "n", "0").await;
                log_in(&two.near, &cookie, "ada").await.token()
            }
        };
        two.lets_through().await;
        assert!(two.is_open(&cookie).await, "{which:?}");
        two.near_users.revoke_all("ada").await.unwrap();
    }
}

/// Who asked for it wants the secret to open nothing any more: that holds however late it comes, and for
/// that secret alone.
#[tokio::test]
async fn a_logout_that_nobody_answered_ends_late_what_it_was_asked_to_end_and_nothing_else() {
    let two = Two::start().await;
    for logs_in in [false, true] {
        let cookie = visit(&two.near, "", "n", "0").await;
        let answer = two.cut_off(&cookie, log_out).await;
        assert_eq!(answer.set_cookie(), None, "the browser keeps it");
        let cookie = match logs_in {
            true => log_in(&two.near, &cookie, "ada").await.token(),
            false => visit(&two.near, &cookie, "n", "1").await,
        };
        assert!(two.is_open(&cookie).await);
        two.lets_through().await;
        assert_eq!(two.is_open(&cookie).await, logs_in);
    }
}

/// As where Redis's clock runs away again and again. Here it does so in its replies.
#[tokio::test]
async fn a_write_that_is_late_twice_is_unavailable_and_operators_are_told_once() {
    const BEHIND: u64 = 1_000_000_000_000;
    let (log, _guard) = Log::of_this_thread(tracing::Level::INFO);
    let server = RedisServer::start();
    let port = retelling(server.port(), ":-1", ":-0").await;
    let handle = patient(&format!("redis://127.0.0.1:{port}"));
    let (wire, layer) = (handle.wire(), SessionLayer::new(handle.sessions()));
    let cookie = visit(&layer, "", "n", "0").await;
    wire.observe_time("any", wire.now_ms() - BEHIND);
    for _ in 0..3 {
        // Longer than what is refused stands alone: what is late at its first sending is not over by that.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let answer = request(&layer, &cookie, write).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(read(&layer, &cookie, "n").await.as_deref(), Some("0"));
    let text = log.text();
    let said = |level| {
        let lines = text.lines().filter(|line| line.contains("after its time"));
        lines.filter(|line| line.contains(level)).count()
    };
    assert_eq!((said("WARN"), said("INFO")), (1, 0), "{text}");
    let warning = handle.warning().expect("somebody should look at it");
    assert!(warning.contains("after its time"), "{warning}");
}
