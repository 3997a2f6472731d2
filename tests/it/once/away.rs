//! The store is away before the job has begun: what the policy says, and nothing else.

use tower_handoff::once::{OnAway, Once, OnceError, OnceStore, Outcome};
use tower_handoff::redis::RedisHandle;

use super::rig::{Count, job, run};
use crate::support::eventually::eventually;
use crate::support::redis_server::{RedisServer, free_port};

fn nobody() -> Once {
    let url = format!("redis://127.0.0.1:{}", free_port());
    Once::new(RedisHandle::connect(&url).unwrap().once())
}

#[tokio::test]
async fn by_default_it_is_an_error() {
    let error = run(&nobody(), &job("x"), 1).await.unwrap_err();
    assert!(matches!(error, OnceError::Unavailable(_)), "{error:?}");
    let answer = error.refusal().unwrap().response();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn it_can_be_skipped() {
    let once = nobody().with_on_away(OnAway::Skip);
    let outcome = run(&once, &job("x"), 1).await.unwrap();
    assert_eq!(outcome, Outcome::Skipped { by: None });
}

#[tokio::test]
async fn it_can_run_once_in_this_process() {
    let once = nobody().with_on_away(OnAway::RunLocally);
    let count = Count::default();
    let x = job("x");
    let runs = (0..10).map(|_| {
        once.run(&x, |lock| {
            let count = count.clone();
            async move {
                tokio::task::yield_now().await;
                lock.check()?;
                Ok::<u64, tower_handoff::lock::LockError>(count.add())
            }
        })
    });
    let outcomes = futures_util::future::join_all(runs).await;
    assert!(matches!(outcomes[0], Ok(Outcome::Ran(0))), "{outcomes:?}");
    assert_eq!(count.get(), 1);
    assert_eq!(run(&once.clone(), &x, 7).await.unwrap(), Outcome::Fresh(0));
}

#[tokio::test]
async fn a_drain_lets_nothing_begin_in_this_process_either() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    let store = RedisHandle::connect(&url).unwrap().once();
    store.locks().held().close();
    let once = Once::new(store).with_on_away(OnAway::RunLocally);
    let refused = run(&once, &job("x"), 1).await;
    assert!(matches!(refused, Err(OnceError::Draining)), "{refused:?}");
}

#[tokio::test]
async fn away_is_not_refused() {
    let server = RedisServer::start();
    server.command(&["SET", "app:o1:{once:x}", "2 whatever comes later"]);
    for on_away in [OnAway::Skip, OnAway::RunLocally] {
        let handle = RedisHandle::connect(&server.url()).unwrap();
        eventually("it is up", async || handle.status().is_up()).await;
        let once = Once::new(handle.once()).with_on_away(on_away);
        let error = run(&once, &job("x"), 1).await.unwrap_err();
        assert!(matches!(error, OnceError::Unavailable(_)), "{error:?}");
        // And where Redis is there, it is asked.
        let y = format!("{on_away:?}");
        assert_eq!(run(&once, &job(&y), 1).await.unwrap(), Outcome::Ran(1));
        let kept = server.command(&["EXISTS", &format!("app:o1:{{once:{y}}}")]);
        assert_eq!(kept, redis::Value::Int(1));
    }
}
