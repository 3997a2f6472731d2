//! What requests cost in allocations: those that no layer has anything to do for, and those that use
//! a session or a lock in Redis; what an idle connection and a held lock cost in bytes, and what requests
//! leave behind that fail.

#[path = "it/support/eventually.rs"]
mod eventually;
#[path = "allocations/outage.rs"]
mod outage;
#[cfg(feature = "cluster")]
#[path = "allocations/outage_in_cluster.rs"]
mod outage_in_cluster;
#[cfg(feature = "cluster")]
#[path = "it/support/quiet_port.rs"]
mod quiet_port;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which use all of it"
)]
#[cfg(feature = "cluster")]
#[path = "it/support/redis_cluster.rs"]
mod redis_cluster;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the integration tests, which use all of it"
)]
#[path = "it/support/redis_server.rs"]
mod redis_server;
#[path = "../benches/support/stack.rs"]
mod stack;

#[path = "allocations/locks.rs"]
mod locks;

use std::alloc::{GlobalAlloc, Layout as MemoryLayout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower::{Layer, Service, service_fn};
use tower_handoff::lifecycle::{Lifecycle, PlatformKind, TrackedStream};
use tower_handoff::redis::RedisHandle;
use tower_handoff::session::{Session, SessionLayer};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// That were asked for and not given back.
    static BYTES: Cell<usize> = const { Cell::new(0) };
    /// The most of them at a time.
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

fn taken(bytes: usize) {
    let now = BYTES.with(|sum| {
        sum.set(sum.get().wrapping_add(bytes));
        sum.get()
    });
    PEAK.with(|peak| peak.set(peak.get().max(now)));
}

fn given_back(bytes: usize) {
    BYTES.with(|sum| sum.set(sum.get().wrapping_sub(bytes)));
}

#[expect(
    unsafe_code,
    reason = "a global allocator is unsafe to write; this one only counts"
)]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: MemoryLayout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        taken(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: MemoryLayout) {
        given_back(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: MemoryLayout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        given_back(layout.size());
        taken(size);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of one request, of many that are alike.
fn allocations(mut service: Box<dyn stack::Requests>) -> f64 {
    for _ in 0..50 {
        service.request();
    }
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..100 {
        service.request();
    }
    let after = ALLOCATIONS.with(Cell::get);
    f64::from(u32::try_from(after - before).expect("a small number")) / 100.0
}

/// The layers make timers and tasks when they have something to do; here they have not, but
/// constructing them may look for the runtime.
fn in_runtime(check: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    check();
}

#[test]
fn the_counter_counts() {
    struct Boxes;
    impl stack::Requests for Boxes {
        fn request(&mut self) {
            std::hint::black_box(Box::new(1));
        }
    }
    assert!((allocations(Box::new(Boxes)) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn an_untouched_request_allocates_within_its_budget() {
    in_runtime(|| {
        let bare = allocations(stack::tower_stack("bare"));
        let mut report = String::new();
        for (name, budget) in [
            ("in flight", 0.0),
            ("drain gate", 0.0),
            ("session", 5.0),
            ("lock", 0.0),
            ("all four", 8.0),
        ] {
            let added = allocations(stack::tower_stack(name)) - bare;
            report += &format!("{name}: {added:+.2} of at most {budget}\n");
            assert!(added <= budget, "{report}");
        }
        println!("{report}");
    });
}

#[test]
fn an_untouched_request_allocates_within_its_budget_in_axum() {
    in_runtime(|| {
        let no_ops = allocations(stack::axum_stack("four no-ops"));
        let mut report = String::new();
        for name in ["in flight", "drain gate", "session", "lock"] {
            let added = allocations(stack::axum_stack(name)) - no_ops;
            report += &format!("{name}: {added:+.2}\n");
        }
        let all = allocations(stack::axum_stack("all four")) - no_ops;
        println!("{report}all four: {all:+.2}");
        assert!(all <= 8.0, "{report}all four: {all:+.2} of at most 8");
    });
}

/// What the layers of a route, and what is shown of a request, cost before the shutdown.
#[test]
fn routes_that_are_told_of_the_drain_allocate_within_their_budgets() {
    use tower_handoff::InFlightLayer;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let lifecycle = lifecycle();
    // Waits once, as handlers do.
    let handler = || {
        service_fn(async |_: Request<()>| {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        })
    };
    let cookie = HeaderValue::from_static("an-id");
    let counted = InFlightLayer::new(lifecycle.in_flight());
    let named = counted.clone().with_request_id(COOKIE);
    let other = counted.clone().with_request_id(SET_COOKIE);
    let watching = Lifecycle::builder().signals(false).show_watch(true).build();
    let watching = watching.expect("it fits").layer();
    let limit = std::time::Duration::from_secs(1);
    let finish = lifecycle.finish_within(limit);
    runtime.block_on(async {
        let bare = allocations_of(handler(), &cookie).await;
        let mut report = String::new();
        for (name, allocations, budget) in [
            (
                "finish within",
                allocations_of(finish.layer(handler()), &cookie).await,
                0.0,
            ),
            (
                "counted",
                allocations_of(counted.layer(handler()), &cookie).await,
                0.0,
            ),
            (
                "without an id",
                allocations_of(other.layer(handler()), &cookie).await,
                0.0,
            ),
            (
                "with its id",
                allocations_of(named.layer(handler()), &cookie).await,
                2.0,
            ),
            (
                "with the watch",
                allocations_of(watching.layer(handler()), &cookie).await,
                3.0,
            ),
        ] {
            let added = allocations - bare;
            report += &format!("{name}: {added:+.2} of at most {budget}\n");
            assert!(added <= budget, "{report}");
        }
        println!("{report}");
    });
}

/// It needs a handler that can be sent.
#[test]
fn a_detached_handler_allocates_within_its_budget() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let lifecycle = lifecycle();
    let handler = || {
        service_fn(|_: Request<()>| async {
            tokio::task::yield_now().await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        })
    };
    let cookie = HeaderValue::from_static("none");
    runtime.block_on(async {
        let bare = allocations_of(handler(), &cookie).await;
        let detached = lifecycle.detach().layer(handler());
        let added = allocations_of(detached, &cookie).await - bare;
        println!("{added:+.2} of at most 4");
        assert!(added <= 4.0, "{added:+.2} of at most 4");
    });
}

#[derive(Clone, Copy)]
enum Work {
    Read,
    BlindWrite,
    ReadThenWrite,
    Increment,
}

async fn work(work: Work, session: Session) {
    if matches!(work, Work::Read | Work::ReadThenWrite) {
        let value: Option<String> = session.get("field7").await.expect("Redis answers");
        assert_eq!(value.map(|value| value.len()), Some(40));
    }
    if matches!(work, Work::BlindWrite | Work::ReadThenWrite) {
        // Forty characters, and none of the handler's own allocations.
        let value = "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";
        session.set("field7", value).expect("within the limits");
    }
    if matches!(work, Work::Increment) {
        let sum = session.increment("count", 1).await;
        assert!(sum.expect("Redis answers") > 0);
    }
}

/// Allocations of one request with this cookie, of many that are alike.
async fn allocations_of<S, B>(mut service: S, cookie: &HeaderValue) -> f64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
{
    let mut before = 0;
    for round in 0..600 {
        if round == 200 {
            before = ALLOCATIONS.with(Cell::get);
        }
        let mut request = Request::new(());
        request.headers_mut().insert(COOKIE, cookie.clone());
        let Ok(response) = service.call(request).await;
        assert!(response.status().is_success());
    }
    let after = ALLOCATIONS.with(Cell::get);
    f64::from(u32::try_from(after - before).expect("a small number")) / 400.0
}

/// Ten fields of about fifty bytes, as a usual session.
async fn ten_fields(layer: &SessionLayer) -> HeaderValue {
    let mut service = layer.layer(service_fn(async |request: Request<()>| {
        let session = Session::from_extensions(request.extensions()).expect("the layer is there");
        for field in 0..10 {
            let set = session.set(&format!("field{field}"), &"x".repeat(40));
            set.expect("within the limits");
        }
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let Ok(response) = service.call(Request::new(())).await;
    let cookie = response.headers()[SET_COOKIE].to_str().expect("ASCII");
    HeaderValue::from_str(cookie.split(';').next().expect("a pair")).expect("a value")
}

/// What a recorder keeps is the recorder's affair; on the way to it there is nothing to allocate.
#[cfg(feature = "metrics")]
#[test]
fn recording_what_befalls_a_lock_allocates_nothing() {
    use std::sync::{Arc, LazyLock};

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
    use metrics::{CounterFn, HistogramFn, Recorder};
    use tower_handoff::lock::{LockKey, LockLayer, MemoryLocks};

    #[derive(Default)]
    struct Sum(std::sync::atomic::AtomicU64);
    impl CounterFn for Sum {
        fn increment(&self, value: u64) {
            self.0.fetch_add(value, std::sync::atomic::Ordering::SeqCst);
        }
        fn absolute(&self, _: u64) {}
    }
    impl HistogramFn for Sum {
        fn record(&self, _: f64) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    static SUM: LazyLock<Arc<Sum>> = LazyLock::new(Arc::default);
    struct Keeper;
    impl Recorder for Keeper {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(SUM.clone())
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::from_arc(SUM.clone())
        }
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let cookie = HeaderValue::from_static("none");
    let locked = || {
        let key = LockKey::new("till").expect("short");
        let layer = LockLayer::new(MemoryLocks::new(), key).with_methods([http::Method::GET]);
        let handler = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        runtime.block_on(allocations_of(layer.layer(handler), &cookie))
    };
    let without = locked();
    let with = metrics::with_local_recorder(&Keeper, locked);
    assert!(SUM.0.load(std::sync::atomic::Ordering::SeqCst) >= 4 * 600);
    println!("{without:+.2} without a recorder, {with:+.2} with one");
    assert!(
        with <= without,
        "{without} without a recorder, {with} with one"
    );
}

/// All that happens on the thread counts, and all happens on this one: layer, supervisor of the
/// connection, client.
#[test]
fn a_request_that_uses_a_session_in_redis_allocates_within_its_budget() {
    let server = redis_server::RedisServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let redis = RedisHandle::connect(&server.url()).expect("the url is well-formed");
        let layer = SessionLayer::new(redis.sessions());
        let cookie = ten_fields(&layer).await;
        let bare = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let bare = allocations_of(bare, &cookie).await;
        let mut report = String::new();
        let mut over = false;
        for (name, kind, budget) in [
            ("read", Work::Read, 18.0),
            ("read then write", Work::ReadThenWrite, 34.0),
            ("blind write", Work::BlindWrite, 24.0),
            ("increment", Work::Increment, 16.0),
        ] {
            let service = layer.layer(service_fn(move |request: Request<()>| {
                let session = Session::from_extensions(request.extensions()).cloned();
                async move {
                    work(kind, session.expect("the layer is there")).await;
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            }));
            let added = allocations_of(service, &cookie).await - bare;
            report += &format!("{name}: {added:+.2} of at most {budget}\n");
            over |= added > budget;
        }
        println!("{report}");
        assert!(!over, "{report}");
    });
}

/// A connection without a byte of its own: asks this of whoever has room for a request, else is silent,
/// and takes everything.
struct Quiet(&'static [u8]);

const HTTP1: Quiet = Quiet(b"GET / HTTP/1.1\r\n\r\n");
/// Behind the preface and no settings, as the head of `GET /`.
const HTTP2: Quiet = Quiet(
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86",
);

impl AsyncRead for Quiet {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Pending;
        }
        buffer.put_slice(self.0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const CONNECTIONS: usize = 100_000;

fn lifecycle() -> Lifecycle {
    let builder = Lifecycle::builder().platform(PlatformKind::Unknown);
    builder.build().expect("a lifecycle")
}

/// Whose request has been read.
fn asked(lifecycle: &Lifecycle, quiet: Quiet) -> TrackedStream<Quiet> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut connection = lifecycle.wrap_io(quiet, None);
    let mut stream = Pin::new(&mut connection);
    let mut space = [0; 64];
    let mut buffer = ReadBuf::new(&mut space);
    assert!(stream.as_mut().poll_read(&mut cx, &mut buffer).is_ready());
    assert!(stream.as_mut().poll_flush(&mut cx).is_ready());
    connection
}

/// And that has sent an answer's head and waits.
fn answered(connection: &mut TrackedStream<Quiet>, head: &[u8]) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut stream = Pin::new(connection);
    assert!(stream.as_mut().poll_write(&mut cx, head).is_ready());
    assert!(stream.as_mut().poll_flush(&mut cx).is_ready());
    let mut no_room = ReadBuf::new(&mut []);
    assert!(stream.poll_read(&mut cx, &mut no_room).is_pending());
}

/// What `CONNECTIONS` of them cost that have been asked so, have answered and wait.
fn idle(quiet: fn() -> Quiet, answer: &[u8]) -> usize {
    let lifecycle = lifecycle();
    let before = BYTES.with(Cell::get);
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut connection = asked(&lifecycle, quiet());
        answered(&mut connection, answer);
        connections.push(connection);
    }
    // What the test's own connection takes is its socket's, elsewhere.
    let each = (BYTES.with(Cell::get) - before) / CONNECTIONS - size_of::<Quiet>();
    println!("{each} bytes a connection");
    assert!(lifecycle.status().connections.is_empty(), "they are idle");
    each
}

#[test]
fn a_hundred_thousand_idle_connections_cost_at_most_200_bytes_each() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let each = idle(|| HTTP1, answer);
    assert!(each <= 200, "{each} bytes a connection");
}

/// Those stand in the list of what may have to be named.
#[test]
fn a_hundred_thousand_idle_connections_of_http2_cost_at_most_256_bytes_each() {
    // `:status: 204` on stream 1, and its end.
    let each = idle(|| HTTP2, &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x89]);
    assert!(each <= 256, "{each} bytes a connection");
}

/// An answer without an end.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[test]
fn a_hundred_thousand_streams_of_events_cost_at_most_340_bytes_each() {
    let lifecycle = lifecycle();
    let mut app = lifecycle.layer().layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Endless))
    }));
    let before = BYTES.with(Cell::get);
    let (mut connections, mut bodies) = (
        Vec::with_capacity(CONNECTIONS),
        Vec::with_capacity(CONNECTIONS),
    );
    for _ in 0..CONNECTIONS {
        let mut connection = asked(&lifecycle, HTTP1);
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(response)) = pin!(app.call(Request::new(()))).poll(&mut cx) else {
            panic!("not at once");
        };
        answered(&mut connection, b"HTTP/1.1 200 OK\r\n\r\n");
        bodies.push(response.into_body());
        connections.push(connection);
    }
    let each = (BYTES.with(Cell::get) - before) / CONNECTIONS - size_of::<Quiet>();
    println!("{each} bytes a stream of events");
    assert!(each <= 340, "{each} bytes a stream of events");
    assert_eq!(lifecycle.in_flight().count(), CONNECTIONS as u64);
}
