//! What requests leave behind that fail because Redis is away.

use std::time::Duration;

use http::{Method, StatusCode};
use tower_handoff::lock::{LockKey, LockLayer, Locks};
use tower_handoff::once::{Job, Once};

use super::*;

const REQUESTS: usize = 100_000;
/// Requests before the first that counts.
const WARM: usize = 2_000;
const GROWTH: usize = 1 << 20;

/// What a visitor does, one request each: all of it needs Redis.
async fn fails(
    redis: &RedisHandle,
    sessions: &SessionLayer,
    cookie: &HeaderValue,
    number: usize,
) -> bool {
    let key = || LockKey::new(format!("till-{number}")).expect("short");
    match number % 5 {
        0 | 1 => {
            let mut service = sessions.layer(service_fn(move |request: Request<()>| {
                let session = Session::from_extensions(request.extensions()).cloned();
                async move {
                    let session = session.expect("the layer is there");
                    if number.is_multiple_of(2) {
                        session.rotate().expect("the head is not out");
                    }
                    session.set("n", &number).expect("within the limits");
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            }));
            let mut request = Request::new(());
            request.headers_mut().insert(COOKIE, cookie.clone());
            let Ok(response) = service.call(request).await;
            response.status() == StatusCode::SERVICE_UNAVAILABLE
        }
        2 => {
            let layer = LockLayer::new(redis.locks(), key()).with_methods([Method::GET]);
            let handler = async |_: Request<()>| -> Result<Response<Full<Bytes>>, Infallible> {
                panic!("nobody has the lock")
            };
            let Ok(response) = layer
                .layer(service_fn(handler))
                .call(Request::new(()))
                .await;
            response.status() == StatusCode::SERVICE_UNAVAILABLE
        }
        3 => Locks::new(redis.locks()).try_acquire(key()).await.is_err(),
        _ => {
            let job = Job::new(format!("job-{number}")).expect("short");
            let once = Once::new(redis.once());
            once.run(&job, async |_| Ok::<_, Infallible>(1))
                .await
                .is_err()
        }
    }
}

/// In the way that `signal` takes Redis away.
fn leaves_nothing(signal: &str) {
    let server = redis_server::RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let redis = RedisHandle::connect(&server.url()).expect("the url is well-formed");
        let sessions = SessionLayer::new(redis.sessions());
        let cookie = ten_fields(&sessions).await;
        server.signal(signal);
        let mut before = 0;
        for number in 0..REQUESTS + WARM {
            if number == WARM {
                before = BYTES.with(Cell::get);
            }
            let fails = fails(&redis, &sessions, &cookie, number).await;
            // The signal takes its time.
            assert!(fails || number < WARM, "request {number}");
            // The supervisor, and whoever takes something back, has its turn.
            if number.is_multiple_of(100) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let growth = BYTES.with(Cell::get).wrapping_sub(before).cast_signed();
        println!("{signal}: {growth:+} bytes after {REQUESTS} requests that failed");
        assert!(growth <= GROWTH.cast_signed(), "{signal}: {growth} bytes");
    });
}

#[test]
fn a_hundred_thousand_requests_that_a_dead_redis_fails_leave_nothing() {
    leaves_nothing("KILL");
}

#[test]
fn a_hundred_thousand_requests_that_a_silent_redis_fails_leave_nothing() {
    leaves_nothing("STOP");
}
