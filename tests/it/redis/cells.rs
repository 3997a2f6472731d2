//! Faults of Redis × what a request does: the status, whether the connection stays, what is stored
//! afterwards. `mod.rs` has the table.

use std::convert::Infallible;
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, Response, StatusCode};
use tower::{Layer, service_fn};
use tower_handoff::lock::{LockErrorKind, LockKey, Locks};
use tower_handoff::redis::{AwayCause, RedisHandle, RedisStatus};
use tower_handoff::session::{Session, SessionLayer};

use crate::support::bad_line::BadLine;
use crate::support::eventually::eventually;
use crate::support::evidence::oneshot;
use crate::support::proxy::Proxy;
use crate::support::redis_server::{RedisServer, free_port};

const OK: StatusCode = StatusCode::OK;
const AWAY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// No request may take longer, whatever Redis does: generous, the time-out is 500 ms.
const BOUND: Duration = Duration::from_secs(10);

struct Site {
    redis: RedisHandle,
    layer: SessionLayer,
    locks: Locks,
    cookie: HeaderValue,
}

/// What a request answered that touches nothing, that reads, that writes, that locks.
type Row = [StatusCode; 4];

impl Site {
    /// With a session in which `n` is 1.
    async fn new(url: String) -> Self {
        let redis = RedisHandle::connect(&url).expect("a good url");
        let mut site = Self {
            layer: SessionLayer::new(redis.sessions()),
            locks: Locks::new(redis.locks()),
            cookie: HeaderValue::from_static("none=1"),
            redis,
        };
        let answer = site
            .send(async |session| session.set("n", &1).is_ok())
            .await;
        let cookie = answer.headers()[SET_COOKIE].to_str().expect("text");
        let pair = cookie.split(';').next().expect("a pair");
        site.cookie = HeaderValue::from_str(pair).expect("a header");
        assert_eq!(site.row(1).await, [OK; 4]);
        site
    }

    async fn send(&self, handler: impl AsyncFnOnce(Session) -> bool) -> Response<()> {
        let mut handler = Some(handler);
        let service = self.layer.layer(service_fn(move |request: Request<()>| {
            let session = Session::from_extensions(request.extensions()).cloned();
            let session = session.expect("the layer");
            let handler = handler.take().expect("one request");
            async move {
                let mut response = Response::new(());
                if !handler(session).await {
                    *response.status_mut() = AWAY;
                }
                Ok::<_, Infallible>(response)
            }
        }));
        let mut request = Request::new(());
        request.headers_mut().insert(COOKIE, self.cookie.clone());
        let response = tokio::time::timeout(BOUND, oneshot(service, request));
        let response = response
            .await
            .expect("no request hangs")
            .expect("infallible");
        response.map(drop)
    }

    async fn n(&self) -> Option<u64> {
        let mut n = None;
        self.send(async |session| {
            n = session.get("n").await.ok().flatten();
            true
        })
        .await;
        n
    }

    /// One request of each kind; the writing one sets `n`.
    async fn row(&self, n: u64) -> Row {
        let untouched = self.send(async |_| true).await.status();
        let read = self.send(async |session| session.get::<u64>("n").await.is_ok());
        let read = read.await.status();
        let write = self.send(async |session| session.set("n", &n).is_ok());
        let write = write.await.status();
        let key = LockKey::new("cells:a").expect("a good key");
        let lock = tokio::time::timeout(BOUND, self.locks.try_acquire(key));
        let lock = match lock.await.expect("no acquire hangs") {
            Ok(lock) => {
                lock.release().await;
                OK
            }
            Err(error) if error.kind() == LockErrorKind::Unavailable => AWAY,
            Err(error) => panic!("{error}"),
        };
        [untouched, read, write, lock]
    }

    fn epoch(&self) -> u64 {
        *self.redis.wire().epochs().borrow()
    }

    async fn is_away_for(&self, expected: AwayCause) {
        eventually("the state says why", async || {
            matches!(self.redis.status(), RedisStatus::Away { cause, .. } if cause == expected)
        })
        .await;
        assert_eq!(self.row(9).await, [OK, AWAY, AWAY, AWAY]);
    }

    /// Everything works again by itself, and the session is as `stored` says.
    async fn is_well(&self, stored: impl Fn(u64) -> bool) {
        eventually("Redis is found", async || self.redis.ping().await.is_ok()).await;
        let n = self.n().await.expect("the session is there");
        assert!(stored(n), "{n}");
        // What a lock's request left behind may have to be let go first.
        eventually("all is well", async || self.row(n).await == [OK; 4]).await;
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// A state in which Redis refuses writes and nothing else: the connection stays, reads are served,
/// and nothing of what was refused is stored.
async fn refuses_writes(begin: impl AsyncFnOnce(&RedisServer), end: &[&str]) {
    let server = start();
    let site = Site::new(server.url()).await;
    let before = tasks();
    begin(&server).await;
    for _ in 0..3 {
        assert_eq!(site.row(2).await, [OK, OK, AWAY, AWAY]);
    }
    assert!(site.redis.status().is_up(), "reads go on");
    set(&server, end);
    site.is_well(|n| n == 1).await;
    assert_eq!(site.epoch(), 1, "on the same connection");
    eventually("no task is left over", async || tasks() <= before).await;
}

fn set(server: &RedisServer, options: &[&str]) {
    server.command(&[&["CONFIG", "SET"], options].concat());
}

#[tokio::test]
async fn out_of_memory() {
    let full = async |server: &RedisServer| set(server, &["maxmemory", "1"]);
    refuses_writes(full, &["maxmemory", "0"]).await;
}

#[tokio::test]
async fn too_few_replicas() {
    let lonely = async |server: &RedisServer| set(server, &["min-replicas-to-write", "1"]);
    refuses_writes(lonely, &["min-replicas-to-write", "0"]).await;
}

const SNAPSHOT: &str = "snapshot";

fn start() -> RedisServer {
    RedisServer::start_on(free_port(), &["--dbfilename", SNAPSHOT])
}

/// A snapshot cannot be written: a directory lies where it should go.
async fn fail_to_save(server: &RedisServer) {
    let dir = server.command(&["CONFIG", "GET", "dir"]);
    let (_, dir): (String, String) = redis::from_redis_value(dir).expect("a pair");
    std::fs::create_dir_all(format!("{dir}/{SNAPSHOT}")).expect("it is writable");
    set(server, &["save", "3600 1"]);
    server.command(&["BGSAVE"]);
    eventually("the snapshot fails", async || {
        let info = server.command(&["INFO", "persistence"]);
        let info: String = redis::from_redis_value(info).expect("text");
        info.contains("rdb_last_bgsave_status:err")
    })
    .await;
}

#[tokio::test]
async fn snapshots_that_fail() {
    refuses_writes(fail_to_save, &["save", ""]).await;
}

#[tokio::test]
async fn snapshots_that_fail_before_the_process_starts() {
    let server = start();
    let site = Site::new(server.url()).await;
    fail_to_save(&server).await;
    let epoch = site.epoch();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually("a new connection", async || site.epoch() > epoch).await;
    assert_eq!(site.row(2).await, [OK, OK, AWAY, AWAY], "reads are served");
}

#[tokio::test]
async fn a_master_that_became_a_replica() {
    let (server, master) = (RedisServer::start(), RedisServer::start());
    let site = Site::new(server.url()).await;
    let before = tasks();
    let port = master.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]);
    let write = site
        .send(async |session| session.set("n", &2).is_ok())
        .await;
    assert_eq!(write.status(), AWAY);
    site.is_away_for(AwayCause::ReadOnly).await;
    assert_eq!(site.epoch(), 1, "no connection to a replica counts");
    server.command(&["REPLICAOF", "NO", "ONE"]);
    eventually("Redis is found", async || site.redis.ping().await.is_ok()).await;
    assert!(site.epoch() > 1, "on another connection");
    // Its new master was empty; whether that was copied already is chance.
    assert!(
        matches!(site.n().await, None | Some(1)),
        "nothing refused is stored"
    );
    eventually("all is well", async || site.row(1).await == [OK; 4]).await;
    eventually("no task is left over", async || tasks() <= before).await;
}

#[tokio::test]
async fn a_replica_that_lost_its_master() {
    let server = RedisServer::start();
    let site = Site::new(server.url()).await;
    server.command(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    server.command(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    assert_eq!(site.row(2).await, [OK, AWAY, AWAY, AWAY]);
    site.is_away_for(AwayCause::NotReady).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    site.is_well(|n| n == 1).await;
}

#[tokio::test]
async fn paused_for_two_seconds_and_paused_past_all_time_outs() {
    let server = RedisServer::start();
    let site = Site::new(server.url()).await;
    let before = tasks();
    for seconds in [2, 5] {
        server.signal("STOP");
        let pause = tokio::time::sleep(Duration::from_secs(seconds));
        assert_eq!(site.row(2).await, [OK, AWAY, AWAY, AWAY]);
        site.is_away_for(AwayCause::Unreachable).await;
        pause.await;
        server.signal("CONT");
        // What went unanswered may have been carried out.
        site.is_well(|n| n <= 2).await;
    }
    eventually("no task is left over", async || tasks() <= before).await;
}

#[tokio::test]
async fn slow() {
    let server = RedisServer::start();
    let line = BadLine::start(server.port()).await;
    let site = Site::new(line.url()).await;
    line.delay(Duration::from_millis(200));
    assert_eq!(site.row(2).await, [OK; 4]);
    assert_eq!(site.epoch(), 1, "on the same connection");
    line.delay(Duration::ZERO);
    site.is_well(|n| n == 2).await;
}

#[tokio::test]
async fn half_open() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    let site = Site::new(proxy.url()).await;
    proxy.black_hole(true);
    assert_eq!(site.row(2).await, [OK, AWAY, AWAY, AWAY]);
    site.is_away_for(AwayCause::Unreachable).await;
    proxy.black_hole(false);
    site.is_well(|n| n == 1).await;
}
