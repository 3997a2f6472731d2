//! Whatever a request does meanwhile, a session that was revoked never comes back.

use http::StatusCode;
use tower_handoff::session::{CommitOutcome, Session, SessionLayer, Users};

use super::support::{Store, on_both, request};
use super::users::{id_of, listed, log_in};

const OK: StatusCode = StatusCode::OK;

#[tokio::test]
async fn a_request_that_never_looked_starts_afresh() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let stale = log_in(&layer, "", "ada").await.token();
        users.revoke_all("ada").await.unwrap();
        let fresh = log_in(&layer, &stale, "ada").await.token();
        assert_ne!(fresh[..30], stale[..30], "another public id");
        assert_eq!(id_of(&layer, &stale).await, None);
        assert_eq!(listed(&users, "ada").await.len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_survives_a_storm_of_revocations_is_in_the_list() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            let (layer, users) = (layer.clone(), users.clone());
            tasks.spawn(async move {
                let mut cookie = String::new();
                for round in 0..30 {
                    let answer = request(&layer, &cookie, async |session: Session| {
                        if round % 3 == 0 {
                            session.exists().await.unwrap();
                        }
                        session.bind("ada").unwrap();
                        session.set("round", &round.to_string()).unwrap();
                        OK
                    })
                    .await;
                    if let Some(next) = answer.set_cookie() {
                        cookie = next;
                    } else {
                        assert_eq!(answer.outcome, Some(CommitOutcome::Gone));
                    }
                    if (task + round) % 7 == 0 {
                        users.revoke_all("ada").await.unwrap();
                    }
                }
                cookie
            });
        }
        let cookies = tasks.join_all().await;
        let listed = listed(&users, "ada").await;
        for cookie in &cookies {
            if let Some(id) = id_of(&layer, cookie).await {
                assert!(listed.contains(&id), "a live session is in no list");
            }
        }
        assert_eq!(users.revoke_all("ada").await.unwrap(), listed.len() as u64);
        for cookie in &cookies {
            assert_eq!(id_of(&layer, cookie).await, None, "a revoked session lives");
        }
    })
    .await;
}
