//! Clones of one handle at odds with each other, and what the log says of it all.

use std::future::Future;
use std::pin::Pin;

use futures_util::future::join_all;
use http::StatusCode;
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{CommitOutcome, Session, SessionLayer, Undecodable};

use super::support::{Store, on_both, request, visit};
use crate::support::log::Log;
use crate::support::redis_server::RedisServer;

const OK: StatusCode = StatusCode::OK;

type Operation = Pin<Box<dyn Future<Output = ()>>>;

/// One of everything that a handle can do; whether it works depends on the others.
fn operation(session: Session, number: u32) -> Operation {
    Box::pin(async move {
        match number % 6 {
            0 => drop(session.rotate()),
            1 => drop(session.set("a", &number)),
            2 => drop(session.destroy().await),
            3 => drop(session.increment("n", 1).await),
            4 => drop(
                session
                    .update("u", |n: Option<u32>| Some(n.map_or(1, |n| n + 1)))
                    .await,
            ),
            _ => drop(session.fields().await),
        }
    })
}

#[tokio::test]
async fn whatever_clones_do_at_once_the_browser_holds_a_session_that_works_or_none() {
    on_both(async |store: Store| {
        let layer = SessionLayer::new(store);
        for round in 0..36 {
            let has_session = round % 3 > 0;
            let cookie = match has_session {
                true => visit(&layer, "", "user", "ada").await,
                false => String::new(),
            };
            let answer = request(&layer, &cookie, async |session: Session| {
                // Each round begins with another operation.
                let all = (round..round + 12).map(|number| operation(session.clone(), number));
                join_all(all).await;
                OK
            })
            .await;
            assert_eq!(answer.status, OK);
            assert_ne!(
                answer.outcome,
                Some(CommitOutcome::Gone),
                "nobody else is there"
            );
            let kept = match answer.set_cookie() {
                Some(pair) if pair.ends_with('=') => continue,
                Some(pair) => pair,
                None if has_session => cookie,
                None => continue,
            };
            request(&layer, &kept, async |session: Session| {
                assert!(session.exists().await.unwrap(), "round {round}");
                OK
            })
            .await;
        }
    })
    .await;
}

// One thread, so that the subscriber of this thread sees the supervisor too.
#[tokio::test]
async fn the_log_holds_no_token_no_value_and_no_password_at_any_level() {
    let (log, _guard) = Log::of_this_thread(tracing::Level::TRACE);

    let server = RedisServer::start();
    server.command(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let url = format!("redis://:hunter2@127.0.0.1:{}", server.port());
    let layer = SessionLayer::new(RedisHandle::connect(&url).unwrap().sessions())
        .with_undecodable(Undecodable::Error);
    let first = visit(&layer, "", "user", "the-field's-own-value").await;
    let answer = request(&layer, &first, async |session: Session| {
        assert!(session.get::<u8>("user").await.is_err());
        session.increment("n", 1).await.unwrap();
        session.rotate().unwrap();
        OK
    })
    .await;
    let second = answer.token();
    server.signal("KILL");
    for _ in 0..2 {
        let answer = request(&layer, &second, async |session: Session| {
            session.set("user", "the-field's-own-value").unwrap();
            OK
        })
        .await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }

    let text = log.text();
    assert!(text.contains("session not written"), "{text}");
    for secret in [
        &first[first.len() - 30..],
        &second[second.len() - 30..],
        "the-field's-own-value",
        "hunter2",
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}
