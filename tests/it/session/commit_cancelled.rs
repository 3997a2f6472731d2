//! A request that is cancelled at any of its awaits leaves its session as it was or as it was to
//! be, and never in between: counted through, one await after the other, on both stores.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, service_fn};
use tower_handoff::session::{
    Session, SessionErrorKind, SessionId, SessionLayer, SessionStore, Users,
};

use super::commit_rules::{Expected, Told, What, check};
use super::late::World;
use super::stage::{Staged, cancelled, pending_once};
use super::support::{Answer, read, visit};
use super::users::{id_of, listed};
use crate::support::eventually::eventually;
use crate::support::evidence::oneshot;

/// More awaits than any request here has.
const MANY: usize = 60;

/// Runs one request up to the `after`th time that it waits.
async fn run(
    layer: &SessionLayer,
    cookie: &str,
    what: What,
    user: &str,
    after: usize,
    kept: &mut Option<Session>,
) -> Option<Answer> {
    let service = layer.layer(service_fn(|request: Request<Body>| {
        let session = Session::from_extensions(request.extensions())
            .unwrap()
            .clone();
        *kept = Some(session.clone());
        async move {
            pending_once().await;
            what.act(&session, user).await.expect("the store is there");
            pending_once().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    }));
    let mut request = Request::builder();
    if !cookie.is_empty() {
        request = request.header("cookie", cookie);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = cancelled(oneshot(service, request), after).await?;
    let (parts, _) = response.unwrap().into_parts();
    Some(Answer::of(parts, Bytes::new()))
}

/// What a session looks like from outside, where no browser has its new token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// What is in its cart, as far as its bytes tell.
    cart: Option<&'static str>,
    counted: bool,
    opens: bool,
    bound: bool,
    /// In the list of the user.
    listed: bool,
}

impl Seen {
    fn of(expected: &Expected) -> Self {
        Self {
            cart: expected.cart,
            counted: expected.counted,
            opens: expected.old_opens,
            bound: expected.bound,
            listed: expected.bound,
        }
    }
}

async fn seen(
    world: &World,
    layer: &SessionLayer,
    before: &str,
    user: &str,
    id: Option<&SessionId>,
) -> Seen {
    let record = match id {
        Some(id) => world.store.load(id).await.unwrap(),
        None => None,
    };
    let bytes = record.as_ref().map(|record| record.as_bytes().clone());
    let holds = |name: &str, value: &str| {
        // As a field lies in the record: the lengths keep random bytes from looking like one.
        let mut field = vec![name.len() as u8, 0, 0, 0, value.len() as u8];
        field.extend_from_slice([name, value].concat().as_bytes());
        let bytes = bytes.as_deref().unwrap_or_default();
        bytes.windows(field.len()).any(|window| window == field)
    };
    let carts = ["old", "saved", "new"]
        .into_iter()
        .filter(|cart| holds("cart", &format!("\"{cart}\"")));
    let carts: Vec<_> = carts.collect();
    assert!(carts.len() <= 1, "two carts: {carts:?}");
    let listed = listed(&Users::new(world.store.clone()), user).await;
    let bound = record
        .as_ref()
        .is_some_and(|record| record.user() == Some(user));
    Seen {
        cart: carts.first().copied(),
        counted: holds("n", "1"),
        opens: id_of(layer, before).await.is_some(),
        bound,
        listed: id.is_some_and(|id| listed.contains(id)),
    }
}

/// The states that a cancelled request may leave, the first as it was before.
fn lawful(what: What) -> Vec<Seen> {
    let begun = what.expected(false, false);
    let done = what.expected(true, true);
    let mut states = vec![Seen::of(&begun), Seen::of(&done)];
    // Before what acts at its await has acted.
    if !matches!(what, What::Begin) {
        states.push(Seen::of(&What::Write.expected(false, false)));
    }
    states
}

async fn row(world: &World, what: What) -> usize {
    let store = Staged::new(world.store.clone());
    let (layer, plain) = (
        SessionLayer::new(store.clone()),
        SessionLayer::new(world.store.clone()),
    );
    for after in 0..MANY {
        let cell = format!("{what:?}, cancelled at await {after}");
        eprintln!("{cell}"); // shown where it fails
        let user = format!("user of {cell}");
        let before = match what {
            What::Begin => String::new(),
            _ => visit(&plain, "", "cart", "old").await,
        };
        let id = id_of(&plain, &before).await;
        let sessions = world.sessions().await;
        let mut kept = None;
        store.step(true);
        let answer = run(&layer, &before, what, &user, after, &mut kept).await;
        store.step(false);
        let session = kept.expect("the handler ran");
        let sealed = session.set("late", "1").unwrap_err();
        assert_eq!(sealed.kind(), SessionErrorKind::Sealed);
        if answer.is_some() {
            let expected = what.expected(true, true);
            let now = check(
                world,
                &plain,
                &before,
                id,
                &user,
                answer.as_ref(),
                &expected,
            )
            .await;
            assert_eq!(read(&plain, &now, "late").await, None);
            return after;
        }
        // What was sent may be under way between two looks at one state: the same twice is a state.
        let mut last = None;
        eventually("it settles", async || {
            let now = seen(world, &plain, &before, &user, id.as_ref()).await;
            last.replace(now.clone()) == Some(now)
        })
        .await;
        let last = last.unwrap();
        assert!(lawful(what).contains(&last), "{last:?}");
        // No session but this one, and at most the one that the request was to begin.
        let begins = what.expected(true, true).told == Told::Fresh;
        let left = world.sessions().await;
        let most = sessions + usize::from(begins);
        assert!(
            (sessions.saturating_sub(1)..=most).contains(&left),
            "{left} of {sessions}"
        );
    }
    panic!("{what:?} has no end");
}

async fn all_rows(world: &World) {
    let mut awaits = 0;
    for what in What::ALL {
        awaits += row(world, what).await;
    }
    // Two of each handler's own, and two of the stage's around each operation at least.
    assert!(awaits >= What::ALL.len() * 4, "only {awaits} awaits");
    eprintln!("{awaits} awaits");
}

#[tokio::test]
async fn in_memory_a_cancelled_request_leaves_no_half_state() {
    all_rows(&World::memory()).await;
}

#[tokio::test]
async fn in_redis_a_cancelled_request_leaves_no_half_state() {
    all_rows(&World::redis()).await;
}
