//! What a merge inside Redis costs Redis, in CPU time: spliced bytes, which the library does, beside
//! `cmsgpack`; one field of ten is written blindly, by 64 callers at a time.
//!
//! `cargo bench --bench session_merge --features testing`; needs a `redis-server` binary and starts
//! one of its own.
//!
//! **Kept: splicing.** It costs Redis as much as `cmsgpack` at 500 bytes and at 1 KB (ratio 1.0), and
//! less at 16 KB (`cmsgpack` 1.7 times as much). Besides, no value passes through Lua's types, and
//! what was read can be replaced as a whole, which takes no merge at all.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use redis::Value;
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{CommitOutcome, Session, SessionLayer};

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "../tests/it/support/redis_server.rs"]
mod redis_server;

use redis_server::RedisServer;

const CMSGPACK: &str = include_str!("support/merge_cmsgpack.lua");
const CALLERS: usize = 64;
const ROUNDS: usize = 60;
const REPETITIONS: usize = 9;
const KEY: &str = "cmsgpack";
const VERIFIER: [u8; 32] = [7; 32];

fn names() -> impl Iterator<Item = String> {
    (0..10).map(|field| format!("field{field}"))
}

/// Microseconds of CPU that Redis's main thread has used.
fn cpu_us(server: &RedisServer) -> f64 {
    let text: String =
        redis::from_redis_value(server.command(&["INFO", "cpu"])).expect("INFO is text");
    let of = |name: &str| -> f64 {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
        let seconds = lines
            .next()
            .and_then(|rest| rest.trim().parse::<f64>().ok());
        seconds.expect("Redis 6.2 or newer counts its main thread")
    };
    1e6 * (of("used_cpu_user_main_thread:") + of("used_cpu_sys_main_thread:"))
}

/// The splicing merge, as requests run it: a layer and the cookie of a session.
struct Splice {
    layer: SessionLayer,
    cookie: HeaderValue,
    value: String,
}

impl Splice {
    async fn new(redis: &RedisHandle, value: &str) -> Self {
        let layer = SessionLayer::new(redis.sessions());
        let filled = value.to_owned();
        let mut service = layer.layer(service_fn(move |request: Request<()>| {
            let session = Session::from_extensions(request.extensions()).expect("the layer");
            for name in names() {
                let set = session.set_raw(&*name, filled.clone());
                set.expect("within the limits");
            }
            async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
        }));
        let Ok(response) = service.call(Request::new(())).await;
        let cookie = response.headers()[SET_COOKIE].to_str().expect("ASCII");
        let cookie = cookie.split(';').next().expect("a pair");
        Self {
            cookie: HeaderValue::from_str(cookie).expect("a value"),
            layer,
            value: value.to_owned(),
        }
    }

    async fn merge(&self) {
        let mut service = self.layer.layer(service_fn(|request: Request<()>| {
            let session = Session::from_extensions(request.extensions()).expect("the layer");
            let set = session.set_raw("field7", self.value.clone());
            set.expect("within the limits");
            async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
        }));
        let mut request = Request::new(());
        request.headers_mut().insert(COOKIE, self.cookie.clone());
        let Ok(response) = service.call(request).await;
        let outcome = response.extensions().get();
        assert_eq!(outcome, Some(&CommitOutcome::Written));
    }
}

/// MessagePack of names and values.
fn packed<'a>(fields: impl ExactSizeIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut packed = vec![0x80 | u8::try_from(fields.len()).expect("up to 15")];
    for text in fields.flat_map(|(name, value)| [name, value]) {
        packed.push(0xda);
        let length = u16::try_from(text.len()).expect("short");
        packed.extend_from_slice(&length.to_be_bytes());
        packed.extend_from_slice(text.as_bytes());
    }
    packed
}

/// The same record, but for its fields, and the same write.
struct Cmsgpack {
    redis: RedisHandle,
    merge: redis::Cmd,
}

impl Cmsgpack {
    async fn new(redis: &RedisHandle, value: &str) -> Self {
        let now = redis.wire().now_ms();
        let mut record = vec![1];
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&VERIFIER);
        record.extend_from_slice(&[0; 40]);
        for time in [now, now, 3_600_000, now + 86_400_000] {
            record.extend_from_slice(&time.to_be_bytes());
        }
        record.extend_from_slice(&[0; 4]);
        let names: Vec<_> = names().collect();
        record.extend(packed(names.iter().map(|name| (&**name, value))));
        let wire = redis.wire();
        let mut set = redis::cmd("SET");
        set.arg(KEY).arg(record).arg("PX").arg(3_600_000);
        wire.send(set).await.expect("Redis answers");
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(CMSGPACK);
        let digest = wire.send(load).await.expect("the script compiles");
        let digest: String = redis::from_redis_value(digest).expect("a digest");
        let mut head = VERIFIER.to_vec();
        head.extend_from_slice(&[9; 8]);
        head.extend_from_slice(&16_384_u32.to_be_bytes());
        head.extend_from_slice(&now.to_be_bytes());
        let mut merge = redis::cmd("EVALSHA");
        let new = packed([("field7", value)].into_iter());
        merge.arg(digest).arg(1).arg(KEY).arg(head);
        merge.arg(&[0x90]).arg(new);
        Self {
            redis: redis.clone(),
            merge,
        }
    }

    async fn merge(&self) {
        let reply = self.redis.wire().send(self.merge.clone()).await;
        let reply = reply.expect("Redis answers");
        assert!(matches!(reply, Value::BulkString(_)), "{reply:?}");
    }
}

/// CPU of Redis's for one merge, of many.
fn measure(runtime: &Runtime, server: &RedisServer, merge: impl AsyncFn()) -> f64 {
    let before = cpu_us(server);
    runtime.block_on(async {
        for _ in 0..ROUNDS {
            join_all((0..CALLERS).map(|_| merge())).await;
        }
    });
    (cpu_us(server) - before) / (ROUNDS * CALLERS) as f64
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = RedisServer::start();
    let redis = {
        let _entered = runtime.enter();
        RedisHandle::connect(&server.url()).expect("the url is well-formed")
    };
    println!("{REPETITIONS} repetitions, interleaved; medians, and the least and the most");
    println!("| fields | spliced, Redis CPU µs | cmsgpack, Redis CPU µs | cmsgpack ÷ spliced |");
    println!("|---|---|---|---|");
    for (label, length) in [("10, 500 B", 40), ("10, 1 KB", 90), ("10, 16 KB", 1_590)] {
        let value = "x".repeat(length);
        let splice = runtime.block_on(Splice::new(&redis, &value));
        let cmsgpack = runtime.block_on(Cmsgpack::new(&redis, &value));
        let (mut spliced, mut packed) = (Vec::new(), Vec::new());
        for _ in 0..REPETITIONS {
            spliced.push(measure(&runtime, &server, async || splice.merge().await));
            packed.push(measure(&runtime, &server, async || cmsgpack.merge().await));
        }
        let (one, other) = (median(&mut spliced), median(&mut packed));
        let most = REPETITIONS - 1;
        println!(
            "| {label} | {one:.1} ({:.1}–{:.1}) | {other:.1} ({:.1}–{:.1}) | {:.2} |",
            spliced[0],
            spliced[most],
            packed[0],
            packed[most],
            other / one
        );
    }
}
