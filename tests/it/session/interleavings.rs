//! A session that ended while a request was under way never comes back: whatever the request does
//! then, whatever ended it, on both stores.

use http::StatusCode;
use tower_handoff::session::{CommitOutcome, Session, SessionErrorKind, SessionLayer, Users};

use super::late::{End, Late, Said, Victim, World};
use super::stage::{Op, Staged};
use super::support::{Answer, BODY, read, request};
use super::users::{id_of, listed};

const STATUS: StatusCode = StatusCode::ACCEPTED;

#[derive(Debug, Clone, Copy)]
struct Cell {
    late: Late,
    end: End,
    /// Whether the slow request has looked at its session before it ended.
    looked: bool,
}

/// One slow request: it stands where it is while its session ends, and then goes on.
async fn overtaken(
    world: &World,
    layer: &SessionLayer,
    victim: &Victim,
    Cell { late, end, looked }: Cell,
) -> (Answer, Said) {
    let mut said = Said::Nothing;
    let answer = request(layer, &victim.cookie, async |session: Session| {
        if looked {
            let user = session.user().await.unwrap();
            assert_eq!(user.as_deref(), Some(&*victim.user));
        }
        assert!(world.end(end, layer, victim).await, "nothing to end");
        said = late.act(&session, &victim.user).await;
        STATUS
    })
    .await;
    (answer, said)
}

/// What holds whatever the request did.
async fn it_stays_ended(world: &World, layer: &SessionLayer, victim: &Victim, answer: &Answer) {
    assert_eq!(answer.status, STATUS, "the status stands");
    assert_eq!(answer.body, BODY, "the body stands");
    assert!(!world.is_there(&victim.id).await, "the key exists");
    assert_eq!(
        id_of(layer, &victim.cookie).await,
        None,
        "the old cookie is somebody"
    );
    let users = Users::new(world.store.clone());
    for user in [&victim.user, &format!("not {}", victim.user)] {
        let list = listed(&users, user).await;
        assert!(!list.contains(&victim.id), "it is in the list of {user}");
    }
}

async fn cell(world: &World, layer: &SessionLayer, cell: Cell) {
    let victim = Victim::log_in(layer, format!("{cell:?}")).await;
    let (answer, said) = overtaken(world, layer, &victim, cell).await;
    it_stays_ended(world, layer, &victim, &answer).await;
    if cell.looked {
        assert_eq!(answer.set_cookie(), None);
        let outcome = cell.late.commits().then_some(CommitOutcome::Gone);
        assert_eq!(answer.outcome, outcome);
        let expected = match cell.late {
            Late::Save | Late::SaveRotation | Late::Increment | Late::Update => Said::Gone,
            Late::Destroy | Late::DestroyAndWrite => Said::NothingThere,
            _ => Said::Nothing,
        };
        assert_eq!(said, expected);
        let users = Users::new(world.store.clone());
        for user in [&victim.user, &format!("not {}", victim.user)] {
            assert!(listed(&users, user).await.is_empty(), "a list of {user}");
        }
        return;
    }
    // Who never looked is a new visitor: another session, and nothing of the old one.
    assert_eq!(
        answer.set_cookie().is_some(),
        cell.late.starts_a_session(),
        "a session of its own"
    );
    if let Some(fresh) = answer.set_cookie() {
        let id = id_of(layer, &fresh).await;
        assert!(id.is_some() && id != Some(victim.id), "a fresh id");
        assert_eq!(read(layer, &fresh, "cart").await, None, "the old data");
    }
}

async fn all_cells(world: &World) {
    let layer = SessionLayer::new(world.store.clone());
    let mut cells = 0;
    for late in Late::ALL {
        for end in End::ALL {
            for looked in [true, false] {
                let this = Cell { late, end, looked };
                eprintln!("{this:?}"); // shown where it fails
                cell(world, &layer, this).await;
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 160);
}

#[tokio::test(start_paused = true)]
async fn in_memory_a_slow_request_brings_no_session_back() {
    all_cells(&World::memory()).await;
}

#[tokio::test]
async fn in_redis_a_slow_request_brings_no_session_back() {
    all_cells(&World::redis()).await;
}

/// The renewal that a read has begun reaches the store when the session has ended.
async fn late_renewals(world: &World) {
    for end in End::ALL {
        eprintln!("renewal, {end:?}"); // shown where it fails
        let plain = SessionLayer::new(world.store.clone());
        let victim = Victim::log_in(&plain, format!("renewal {end:?}")).await;
        let store = Staged::new(world.store.clone());
        let layer = SessionLayer::new(store.clone());
        store.ahead(120_000); // a renewal seems due
        store.hold(Op::Renew);
        let answer = request(&layer, &victim.cookie, async |session: Session| {
            assert!(session.exists().await.unwrap());
            store.held().await;
            assert!(world.end(end, &plain, &victim).await, "nothing to end");
            store.play().await;
            STATUS
        })
        .await;
        assert_eq!((answer.outcome, answer.set_cookie()), (None, None));
        it_stays_ended(world, &plain, &victim, &answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_memory_a_late_renewal_brings_no_session_back() {
    late_renewals(&World::memory()).await;
}

#[tokio::test]
async fn in_redis_a_late_renewal_brings_no_session_back() {
    late_renewals(&World::redis()).await;
}

/// Explicit commits of handles that outlive their response.
async fn late_commits(world: &World) {
    let layer = SessionLayer::new(world.store.clone());
    for end in End::ALL {
        for looked in [true, false] {
            eprintln!("detached, {end:?}, looked: {looked}"); // shown where it fails
            let victim = Victim::log_in(&layer, format!("detached {end:?} {looked}")).await;
            let mut detached = None;
            let answer = request(&layer, &victim.cookie, async |session: Session| {
                detached = session.detach().await.unwrap();
                STATUS
            })
            .await;
            let session = detached.expect("a session");
            if looked {
                session.refresh();
                assert!(session.exists().await.unwrap());
            }
            session.set("late", "1").unwrap();
            assert!(world.end(end, &layer, &victim).await, "nothing to end");
            let gone = SessionErrorKind::Gone;
            for _ in 0..2 {
                assert_eq!(session.commit().await.unwrap_err().kind(), gone);
            }
            let error = session.increment("late", 1).await.unwrap_err();
            assert_eq!(error.kind(), gone);
            assert!(!session.destroy().await.unwrap());
            it_stays_ended(world, &layer, &victim, &answer).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_memory_a_late_commit_of_a_detached_handle_brings_no_session_back() {
    late_commits(&World::memory()).await;
}

#[tokio::test]
async fn in_redis_a_late_commit_of_a_detached_handle_brings_no_session_back() {
    late_commits(&World::redis()).await;
}
