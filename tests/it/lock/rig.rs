//! A guarded service, and what the tests ask of it.

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::Full;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lock::{LockBackend, LockBody, LockGuard, LockKey, LockLayer, Locks, key};

use crate::support::eventually::eventually;
use crate::support::redis_server::RedisServer;

pub(super) type Answer = Response<LockBody<Full<Bytes>>>;
pub(super) type Service = BoxCloneSyncService<Request<()>, Answer, Infallible>;

/// Runs each test on memory and on a Redis of its own.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(tower_handoff::lock::MemoryLocks::new()).await;
            })+
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $name() {
                let server = crate::support::redis_server::RedisServer::start();
                let handle = crate::support::patient::patient(&server.url());
                super::$name(handle.locks()).await;
            })+
        }
    };
}
pub(super) use on_both;

/// A layer whose key is the header `x-lock`.
pub(super) fn layer(locks: &(impl LockBackend + Clone)) -> LockLayer {
    LockLayer::new(
        locks.clone(),
        key::header(HeaderName::from_static("x-lock")),
    )
}

/// The layer around a handler that is given the guard.
pub(super) fn guarded<F, Fut>(layer: &LockLayer, handler: F) -> Service
where
    F: Fn(LockGuard) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = String> + Send + 'static,
{
    let inner = service_fn(move |request: Request<()>| {
        let guard = request.extensions().get::<LockGuard>().unwrap().clone();
        let work = handler(guard);
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(work.await)))) }
    });
    BoxCloneSyncService::new(layer.layer(inner))
}

/// The layer around a handler that answers its fence at once.
pub(super) fn fencing(layer: &LockLayer) -> Service {
    guarded(layer, |guard| async move { guard.fence().to_string() })
}

/// The layer around a handler that never ends.
pub(super) fn hanging(layer: &LockLayer) -> Service {
    guarded(layer, |_| std::future::pending())
}

pub(super) fn request(key: &str) -> Request<()> {
    Request::post("/").header("x-lock", key).body(()).unwrap()
}

pub(super) async fn send(service: &Service, key: &str) -> Answer {
    service.clone().oneshot(request(key)).await.unwrap()
}

pub(super) async fn status(service: &Service, key: &str) -> StatusCode {
    send(service, key).await.status()
}

pub(super) async fn text(answer: Answer) -> String {
    use http_body_util::BodyExt;
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The key of a request's header.
pub(super) fn key(name: &str) -> LockKey {
    LockKey::new(format!("x-lock:{name}")).unwrap()
}

/// Sends a request that stays with its handler, and waits until it holds the lock.
pub(super) async fn occupy(
    locks: &(impl LockBackend + Clone),
    key: &str,
) -> tokio::task::JoinHandle<()> {
    let service = hanging(&layer(locks));
    let held = locks.held();
    let before = held.names().len();
    let request = request(key);
    let task = tokio::spawn(async move {
        let _ = service.oneshot(request).await;
    });
    eventually("the lock is held", async || held.names().len() > before).await;
    task
}

/// Whether nobody holds the key, as Redis has it: the fence of the last one may be left.
pub(super) fn is_free(server: &RedisServer, key: &str) -> bool {
    let lock = format!("app:l1:{{{key}}}");
    let value: Option<Vec<u8>> = redis::from_redis_value(server.command(&["GET", &lock])).unwrap();
    value.is_none_or(|value| value.starts_with(b"0"))
}

pub(super) async fn free_again(locks: &(impl LockBackend + Clone), name: &str) {
    let locks = Locks::new(locks.clone());
    eventually("the key is free", async || {
        locks.try_acquire(key(name)).await.is_ok()
    })
    .await;
}

/// Answers may come in between, so that the next poll gets further.
pub(super) async fn poll_times<F: Future>(times: usize, future: F) {
    let mut future = Box::pin(future);
    for _ in 0..times {
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
        tokio::time::sleep(ms(3)).await;
    }
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
