//! A user's sessions: listed, and ended from elsewhere.

use std::collections::BTreeSet;

use tower_handoff::session::{SessionId, SessionLayer, Users};

use super::super::support::{Store, on_both, request, visit};
use super::{OK, id_of, listed, log_in};

#[tokio::test]
async fn sessions_of_one_user_end_one_by_one_or_all_and_nobody_elses() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let mut cookies = Vec::new();
        for user in ["ada", "ada", "ada", "eve"] {
            cookies.push(log_in(&layer, "", user).await.token());
        }
        let mut ids = Vec::new();
        for cookie in &cookies {
            ids.push(id_of(&layer, cookie).await.unwrap());
        }
        assert!(!users.revoke("eve", &ids[0]).await.unwrap(), "not eve's");
        assert!(!users.revoke("ada", &ids[3]).await.unwrap(), "not ada's");
        assert!(users.revoke("ada", &ids[0]).await.unwrap());
        assert!(!users.revoke("ada", &ids[0]).await.unwrap());
        assert_eq!(id_of(&layer, &cookies[0]).await, None);
        // As a handler does it: out everywhere else.
        request(&layer, &cookies[1], async |session| {
            let (user, id) = (session.user().await.unwrap(), session.id().await.unwrap());
            let users = session.users();
            let ended = users.revoke_others(&user.unwrap(), &id.unwrap()).await;
            assert_eq!(ended.unwrap(), 1);
            OK
        })
        .await;
        assert_eq!(listed(&users, "ada").await, BTreeSet::from([ids[1]]));
        assert_eq!(users.revoke_all("ada").await.unwrap(), 1);
        assert_eq!(listed(&users, "eve").await, BTreeSet::from([ids[3]]));
        // A logout of everything: the own one first, which takes the cookie away.
        let answer = request(&layer, &cookies[3], async |session| {
            let user = session.user().await.unwrap().unwrap();
            assert!(session.destroy().await.unwrap());
            assert_eq!(session.users().revoke_all(&user).await.unwrap(), 0);
            OK
        })
        .await;
        assert!(answer.is_removal());
    })
    .await;
}

/// Random logins, moves and ends, beside a model of who is logged in where.
#[tokio::test]
async fn lists_agree_with_a_model_whatever_happens() {
    on_both(async |store: Store| {
        let (layer, users) = (SessionLayer::new(store.clone()), Users::new(store));
        let mut seed: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut below = |bound: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % bound
        };
        // Cookie, id, user.
        let mut model: Vec<(String, SessionId, Option<&str>)> = Vec::new();
        for step in 0..300 {
            let user = ["ada", "eve", "a}b"][below(3) as usize];
            let at = below(model.len() as u64 + 1) as usize;
            match below(8) {
                0 if step % 10 == 0 => {
                    let ended = users.revoke_all(user).await.unwrap();
                    let before = model.len() as u64;
                    model.retain(|(_, _, owner)| *owner != Some(user));
                    assert_eq!(ended, before - model.len() as u64, "step {step}");
                }
                1 if at < model.len() => {
                    let (_, id, owner) = model[at];
                    let ended = users.revoke(user, &id).await.unwrap();
                    assert_eq!(ended, owner == Some(user), "step {step}");
                    if ended {
                        model.remove(at);
                    }
                }
                2 if at < model.len() => {
                    let (cookie, _, _) = model.remove(at);
                    request(&layer, &cookie, async |session| {
                        assert!(session.destroy().await.unwrap());
                        OK
                    })
                    .await;
                }
                3 if at < model.len() => {
                    let answer = request(&layer, &model[at].0, async |session| {
                        session.unbind().unwrap();
                        OK
                    })
                    .await;
                    model[at].0 = answer.token();
                    model[at].2 = None;
                }
                4 if at < model.len() => {
                    visit(&layer, &model[at].0, "step", &step.to_string()).await;
                }
                5 | 6 if at < model.len() => {
                    model[at].0 = log_in(&layer, &model[at].0, user).await.token();
                    model[at].2 = Some(user);
                }
                _ => {
                    let cookie = log_in(&layer, "", user).await.token();
                    let id = id_of(&layer, &cookie).await.unwrap();
                    model.push((cookie, id, Some(user)));
                }
            }
            for user in ["ada", "eve", "a}b"] {
                let theirs = model.iter().filter(|(_, _, owner)| *owner == Some(user));
                let expected: BTreeSet<_> = theirs.map(|(_, id, _)| *id).collect();
                assert_eq!(listed(&users, user).await, expected, "step {step}, {user}");
            }
        }
        assert!(model.len() > 3, "nothing was tried");
    })
    .await;
}
