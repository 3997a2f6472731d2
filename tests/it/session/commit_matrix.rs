//! What a handler does to its session × how its request ends: one documented outcome each, on both
//! stores, behind a router and around a bare service.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tower::{Layer, service_fn};
use tower_handoff::session::{
    DetachedSession, Session, SessionError, SessionErrorKind, SessionLayer,
};

use super::commit_rules::{Told, What, check};
use super::late::World;
use super::support::{Answer, read, visit};
use super::users::id_of;
use crate::support::evidence::oneshot;

/// How the request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Status(u16),
    /// An error of the inner service, where the service has any.
    Error,
    Panic,
    /// The client goes away while the handler waits.
    Cancel,
    /// The body comes after the head, and holds the handle.
    Stream,
    /// The body holds a detached handle, and commits.
    DetachedStream,
}

const HOWS: [How; 10] = [
    How::Status(200),
    How::Status(302),
    How::Status(404),
    How::Status(500),
    How::Status(503),
    How::Error,
    How::Panic,
    How::Cancel,
    How::Stream,
    How::DetachedStream,
];

impl How {
    fn commits(self) -> bool {
        match self {
            Self::Status(status) => status < 500,
            Self::Stream | Self::DetachedStream => true,
            Self::Error | Self::Panic | Self::Cancel => false,
        }
    }

    fn answers(self) -> bool {
        !matches!(self, Self::Error | Self::Panic | Self::Cancel)
    }
}

/// What a request leaves to look at.
type Kept = mpsc::UnboundedSender<Session>;

async fn handler(
    (what, how): (What, How),
    user: &str,
    session: Session,
    kept: Kept,
) -> Result<Response<Body>, &'static str> {
    what.act(&session, user).await.expect("the store is there");
    let detached = match how {
        How::DetachedStream => session.detach().await.expect("the store is there"),
        _ => None,
    };
    kept.send(session.clone()).expect("the test goes on");
    let (status, body) = match how {
        How::Status(status) => (status, Body::from("words")),
        How::Error => return Err("the inner service's own error"),
        How::Panic => panic!("the handler's own fault"),
        How::Cancel => std::future::pending().await,
        How::Stream | How::DetachedStream => (200, streamed(session, detached)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    Ok(response)
}

/// A body that uses its session when the head is out.
fn streamed(session: Session, detached: Option<DetachedSession>) -> Body {
    Body::from_stream(futures_util::stream::once(async move {
        let late = session.set("late", "1").unwrap_err();
        assert_eq!(late.kind(), SessionErrorKind::Sealed);
        if let Some(session) = detached {
            session.set("streamed", "yes")?;
            session.commit().await?;
        }
        Ok::<_, SessionError>("words")
    }))
}

#[derive(Debug, Clone, Copy)]
enum Face {
    Tower,
    Axum,
}

/// One request through the layer; `None` where it has no answer.
async fn send(
    face: Face,
    layer: &SessionLayer,
    cookie: &str,
    cell: (What, How),
    user: &str,
) -> (Option<Response<Body>>, Session) {
    let (kept, mut keeps) = mpsc::unbounded_channel();
    let mut request = Request::builder();
    if !cookie.is_empty() {
        request = request.header("cookie", cookie);
    }
    let request = request.body(Body::empty()).unwrap();
    let (layer, user) = (layer.clone(), user.to_owned());
    let task = tokio::spawn(async move {
        let answer = async |request: Request<Body>| {
            let session = Session::from_extensions(request.extensions()).unwrap();
            handler(cell, &user, session.clone(), kept.clone()).await
        };
        match face {
            Face::Tower => {
                let service = layer.layer(service_fn(answer));
                let response = oneshot(service, request).await;
                response.ok().map(|response| response.map(Body::new))
            }
            Face::Axum => {
                let user = user.clone();
                let route = any(async move |request: Request<Body>| {
                    let session = Session::from_extensions(request.extensions()).unwrap();
                    let response = handler(cell, &user, session.clone(), kept.clone()).await;
                    response.unwrap()
                });
                let app = Router::new().route("/", route).layer(layer);
                oneshot(app, request).await.ok()
            }
        }
    });
    let session = keeps.recv().await.expect("the handler ran");
    if cell.1 == How::Cancel {
        task.abort();
    }
    (task.await.ok().flatten(), session)
}

async fn cell(world: &World, face: Face, (what, how): (What, How)) {
    let layer = SessionLayer::new(world.store.clone());
    let user = format!("{face:?} {what:?} {how:?}");
    let before = match what {
        What::Begin => String::new(),
        _ => visit(&layer, "", "cart", "old").await,
    };
    let id = id_of(&layer, &before).await;
    world.store.asked();
    let (response, session) = send(face, &layer, &before, (what, how), &user).await;
    assert_eq!(response.is_some(), how.answers());
    // Where nothing acts at its await and nothing is committed, the store hears of nothing.
    if !how.commits() && what.is_lazy() {
        assert_eq!(world.store.asked(), 0, "operations");
    }
    let mut expected = what.expected(how.commits(), how.answers());
    if how == How::DetachedStream {
        expected.outcome = None; // written before
    }
    let mut body = None;
    let answer = response.map(|response| {
        let (parts, rest) = response.into_parts();
        body = Some(rest);
        Answer::of(parts, bytes::Bytes::new())
    });
    let sealed = session.set("late", "1").unwrap_err();
    assert_eq!(sealed.kind(), SessionErrorKind::Sealed);
    let now = check(
        world,
        &layer,
        &before,
        id,
        &user,
        answer.as_ref(),
        &expected,
    )
    .await;

    // The body comes when all that is seen.
    let Some(body) = body else { return };
    assert_eq!(body.collect().await.unwrap().to_bytes(), "words");
    assert_eq!(read(&layer, &now, "late").await, None);
    let streamed = read(&layer, &now, "streamed").await;
    let writes = how == How::DetachedStream && expected.told != Told::Removal;
    assert_eq!(streamed.is_some(), writes, "what the stream wrote");
}

async fn all_cells(world: &World) {
    let mut failed = Vec::new();
    let mut cells = 0;
    for face in [Face::Tower, Face::Axum] {
        for what in What::ALL {
            for how in HOWS {
                // A router's service has no errors.
                if matches!((face, how), (Face::Axum, How::Error)) {
                    continue;
                }
                cells += 1;
                let cell = std::panic::AssertUnwindSafe(cell(world, face, (what, how)));
                if cell.catch_unwind().await.is_err() {
                    failed.push(format!("{face:?}: {what:?}, {how:?}"));
                }
            }
        }
    }
    assert_eq!(cells, 11 * (10 + 9));
    assert!(
        failed.is_empty(),
        "these cells failed:\n{}",
        failed.join("\n")
    );
}

#[tokio::test]
async fn in_memory_every_request_ends_as_documented() {
    all_cells(&World::memory()).await;
}

#[tokio::test]
async fn in_redis_every_request_ends_as_documented() {
    all_cells(&World::redis()).await;
}
