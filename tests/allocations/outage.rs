//! What requests leave behind that fail because Redis is away, or refuses.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use tower_handoff::lock::{LockKey, LockLayer, Locks};
use tower_handoff::once::{Job, Once};

use super::eventually::eventually;
use super::redis_server::RedisServer;
use super::*;

/// What may be left of a hundred thousand requests; of a few thousand so much less, and some for attempts to
/// connect that are under way: 24 KiB each.
const GROWTH: usize = 1 << 20;
const UNDER_WAY: usize = 64 << 10;
/// Requests before the first that counts.
const WARM: usize = 1_000;

/// What a visitor does, one request each: all of it needs Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Read,
    Write,
    Rotate,
    Destroy,
    Guarded,
    Lock,
    Wait,
    Once,
}

pub(super) const ASKS: [Ask; 8] = [
    Ask::Read,
    Ask::Write,
    Ask::Rotate,
    Ask::Destroy,
    Ask::Guarded,
    Ask::Lock,
    Ask::Wait,
    Ask::Once,
];

pub(super) struct Visitors {
    pub(super) redis: RedisHandle,
    pub(super) sessions: SessionLayer,
    pub(super) cookie: HeaderValue,
    /// What they lock and run, each its own.
    pub(super) name: fn(usize) -> String,
}

impl Visitors {
    async fn of(redis: RedisHandle) -> Self {
        let sessions = SessionLayer::new(redis.sessions());
        Self {
            cookie: ten_fields(&sessions).await,
            sessions,
            redis,
            name: |number| format!("till-{number}"),
        }
    }

    async fn fails(&self, ask: Ask, number: usize) -> bool {
        let name = (self.name)(number);
        let key = || LockKey::new(name.as_str()).expect("short");
        let locks = Locks::new(self.redis.locks());
        match ask {
            Ask::Read | Ask::Write | Ask::Rotate | Ask::Destroy => {
                let mut service = self.sessions.layer(service_fn(async |request| {
                    let status = touch(&request, ask, number).await;
                    let mut response = Response::new(Full::<Bytes>::default());
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }));
                let mut request = Request::new(());
                request.headers_mut().insert(COOKIE, self.cookie.clone());
                let Ok(response) = service.call(request).await;
                response.status() == StatusCode::SERVICE_UNAVAILABLE
            }
            Ask::Guarded => {
                let layer = LockLayer::new(self.redis.locks(), key()).with_methods([Method::GET]);
                let handler = async |_: Request<()>| {
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                };
                let answer = layer.layer(service_fn(handler)).call(Request::new(()));
                let Ok(response) = answer.await;
                response.status() == StatusCode::SERVICE_UNAVAILABLE
            }
            Ask::Lock => locks.try_acquire(key()).await.is_err(),
            Ask::Wait => {
                let locks = locks.with_wait(Duration::from_secs(60)).expect("in range");
                locks.acquire(key()).await.is_err()
            }
            Ask::Once => {
                let job = Job::new(name.as_str()).expect("short");
                let once = Once::new(self.redis.once());
                let run = once.run(&job, async |_| Ok::<_, Infallible>(1));
                run.await.is_err()
            }
        }
    }

    /// So many requests, one after the other, each of which fails.
    pub(super) async fn fail(&self, requests: std::ops::Range<usize>, asks: &[Ask]) {
        for number in requests {
            let ask = asks[number % asks.len()];
            assert!(self.fails(ask, number).await, "{ask:?}, request {number}");
            // The supervisor, and whoever takes something back, has its turn.
            if number.is_multiple_of(100) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    pub(super) async fn know_that_it_is_away(&self) {
        eventually("it is known", async || {
            let _ = self.redis.ping().await;
            !self.redis.status().is_up()
        })
        .await;
    }
}

async fn touch(request: &Request<()>, ask: Ask, number: usize) -> StatusCode {
    let session = Session::from_extensions(request.extensions()).expect("the layer is there");
    let fails = match ask {
        Ask::Read => session.get_raw("field1").await.is_err(),
        Ask::Destroy => session.destroy().await.is_err(),
        Ask::Rotate => session.rotate().is_err(),
        _ => session.set("n", &number).is_err(),
    };
    match fails {
        true => StatusCode::SERVICE_UNAVAILABLE,
        false => StatusCode::OK,
    }
}

pub(super) fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work);
}

/// Bytes of this thread, on which everything happens.
pub(super) fn bytes() -> usize {
    BYTES.with(Cell::get)
}

pub(super) fn is_flat(what: &str, before: usize, requests: usize) {
    let growth = bytes().wrapping_sub(before).cast_signed();
    println!("{what}: {growth:+} bytes after {requests} requests that failed");
    let most = GROWTH * requests / 100_000 + UNDER_WAY;
    assert!(growth <= most.cast_signed(), "{what}: {growth} bytes");
}

/// Redis is away by `fault`, whose world lasts as long as what it returns.
fn leaves_nothing<T>(what: &str, requests: usize, fault: impl FnOnce(&RedisServer) -> T) {
    let server = RedisServer::start();
    block_on(async {
        let redis = RedisHandle::connect(&server.url()).expect("the url is well-formed");
        let visitors = Visitors::of(redis).await;
        let _world = fault(&server);
        visitors.know_that_it_is_away().await;
        visitors.fail(0..WARM, &ASKS).await;
        let before = bytes();
        visitors.fail(WARM..WARM + requests, &ASKS).await;
        is_flat(what, before, requests);
    });
}

#[test]
fn a_hundred_thousand_requests_that_a_dead_redis_fails_leave_nothing() {
    leaves_nothing("KILL", 100_000, |server| server.signal("KILL"));
}

#[test]
fn requests_that_a_silent_redis_fails_leave_nothing() {
    leaves_nothing("STOP", 10_000, |server| server.signal("STOP"));
}

#[test]
fn requests_that_a_redis_fails_which_wants_a_password_leave_nothing() {
    leaves_nothing("NOAUTH", 5_000, |server| {
        let client = redis::Client::open(server.url()).expect("a good url");
        let mut admin = client.get_connection().expect("it is up");
        for words in [
            &["CONFIG", "SET", "requirepass", "secret"][..],
            &["CLIENT", "KILL", "TYPE", "normal"],
            &["CLIENT", "KILL", "TYPE", "pubsub"],
        ] {
            let done = redis::cmd(words[0]).arg(&words[1..]).exec(&mut admin);
            done.expect("it is done");
        }
    });
}

/// It loads for longer than they ask, and ends with the test.
#[test]
fn requests_that_a_redis_fails_which_loads_leave_nothing() {
    leaves_nothing("LOADING", 5_000, |server| {
        server.is_slow_to_load("60000");
        let client = redis::Client::open(server.url()).expect("a good url");
        let mut admin = client.get_connection().expect("it is up");
        std::thread::spawn(move || redis::cmd("DEBUG").arg("RELOAD").exec(&mut admin))
    });
}

/// Each is asked of Redis, which refuses all that takes memory.
#[test]
fn requests_that_a_redis_refuses_which_has_no_memory_leave_nothing() {
    const REQUESTS: usize = 5_000;
    // Reads are served, and so is the end of a session.
    let asks = ASKS.map(|ask| match ask {
        Ask::Read => Ask::Write,
        Ask::Destroy => Ask::Rotate,
        ask => ask,
    });
    let server = RedisServer::start();
    block_on(async {
        let redis = RedisHandle::connect(&server.url()).expect("the url is well-formed");
        let visitors = Visitors::of(redis).await;
        server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        visitors.fail(0..WARM, &asks).await;
        let before = bytes();
        visitors.fail(WARM..WARM + REQUESTS, &asks).await;
        is_flat("OOM", before, REQUESTS);
    });
}

/// All are sent, and no answer comes: whatever they may have got is taken back when Redis goes on.
#[test]
fn requests_of_which_nobody_knows_the_outcome_leave_nothing() {
    const AT_ONCE: usize = 200;
    const ROUNDS: usize = 20;
    let server = RedisServer::start();
    block_on(async {
        let redis = RedisHandle::builder(server.url()).command_timeout(Duration::from_millis(100));
        let visitors = Visitors::of(redis.connect().expect("good settings")).await;
        let metrics = tokio::runtime::Handle::current().metrics();
        let (mut before, mut tasks) = (0, 0);
        for round in 0..ROUNDS + 2 {
            server.signal("STOP");
            let asked = (0..AT_ONCE).map(async |number| {
                let ask = ASKS[number % ASKS.len()];
                assert!(
                    visitors.fails(ask, round * AT_ONCE + number).await,
                    "{ask:?}"
                );
            });
            join_all(asked).await;
            server.signal("CONT");
            eventually("it is back, and all is taken back", async || {
                let is_back = visitors.redis.ping().await.is_ok();
                is_back && (round < 2 || metrics.num_alive_tasks() <= tasks)
            })
            .await;
            if round == 1 {
                // What is taken back may take as long as a lease.
                tokio::time::sleep(Duration::from_secs(2)).await;
                (before, tasks) = (bytes(), metrics.num_alive_tasks());
            }
        }
        is_flat("no answer", before, ROUNDS * AT_ONCE);
    });
}
