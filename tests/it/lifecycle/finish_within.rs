//! A route's share of the drain: what has not ended in it is ended, and the drain goes on without.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join;
use futures_util::stream::{self, StreamExt};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_handoff::lifecycle::{
    FinishWithinLayer, Lifecycle, Outcome, Overrun, Phase, PhaseControl, ServerOutcome, Stage,
};
use tower_handoff::{Reason, Refusal};

use super::common::{ChannelBody, Client, channel_body, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS};

const SECOND: Duration = Duration::from_secs(1);

/// Says that it was dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// A handler without an end, which says when it is dropped.
fn endless(
    dropped: &Arc<AtomicBool>,
) -> impl Future<Output = Result<Response<ChannelBody>, Infallible>> {
    let dropped = Dropped(dropped.clone());
    async move {
        let _dropped = dropped;
        pending().await
    }
}

fn is_over(frame: Option<Result<http_body::Frame<Bytes>, tower_handoff::BoxError>>) -> bool {
    matches!(frame, Some(Err(error)) if error.is::<Overrun>())
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_so_long_after_draining_began_and_its_client_told_503() {
    for (version, has_body) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
        let phases = PhaseControl::new();
        let dropped = Arc::new(AtomicBool::new(false));
        let layer = FinishWithinLayer::new(phases.watch(), 3 * SECOND);
        let service = layer.layer(service_fn(|_: Request<()>| endless(&dropped)));
        let mut request = Request::new(());
        *request.version_mut() = version;
        let mut asked = Box::pin(service.oneshot(request));
        // The settle is none of it.
        for phase in [Phase::Ready, Phase::Settling] {
            phases.advance(phase);
            assert!(asked.as_mut().now_or_never().is_none());
            sleep(10 * SECOND).await;
        }
        assert!(asked.as_mut().now_or_never().is_none());
        phases.advance(Phase::Draining);
        let begun = Instant::now();
        let answer = asked.as_mut().await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 3, "{:?}", begun.elapsed());
        // And not only with the future.
        assert!(dropped.load(SeqCst));
        assert_eq!(answer.status(), 503);
        let refusal = answer.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.reason, Reason::CutOff);
        // Nobody knows what was done.
        assert!(!answer.headers().contains_key("retry-after"));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(!body.is_empty(), has_body, "{version:?}");
    }
}

/// Who is polled late is not given more.
#[tokio::test(start_paused = true)]
async fn the_time_counts_from_the_phase_and_not_from_the_first_look() {
    let phases = PhaseControl::new();
    let layer = FinishWithinLayer::new(phases.watch(), 3 * SECOND);
    phases.advance(Phase::Draining);
    sleep(2 * SECOND).await;
    // Also where the drain is over: it began before.
    phases.advance(Phase::Stopping);
    let dropped = Arc::default();
    let late = layer.layer(service_fn(|_: Request<()>| endless(&dropped)));
    let begun = Instant::now();
    assert_eq!(late.oneshot(Request::new(())).await.unwrap().status(), 503);
    assert_eq!(begun.elapsed().as_secs(), 1, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_fails_so_that_nobody_takes_it_for_whole() {
    let phases = PhaseControl::new();
    let layer = FinishWithinLayer::new(phases.watch(), 3 * SECOND);
    let (sender, body) = channel_body();
    let mut body = Some(body);
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let body = body.take().unwrap();
        async { Ok::<_, Infallible>(Response::new(body)) }
    }));
    let answer = service.oneshot(Request::new(())).await.unwrap();
    let mut body = Box::pin(answer.into_body());
    sender.send(Ok(Bytes::from("one"))).unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(body.frame().now_or_never().is_none());
    phases.advance(Phase::Draining);
    // It goes on to the end of its time.
    sleep(2 * SECOND).await;
    sender.send(Ok(Bytes::from("two"))).unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    let begun = Instant::now();
    assert!(is_over(body.frame().await));
    assert_eq!(begun.elapsed().as_secs(), 1, "{:?}", begun.elapsed());
    assert!(sender.is_closed(), "what it came from is dropped");
    assert!(http_body::Body::is_end_stream(&*body));
    assert!(body.frame().await.is_none());
}

/// One that always has more never waits, and what ends in time is left alone.
#[tokio::test(start_paused = true)]
async fn no_time_is_an_end_as_draining_begins_and_whoever_is_done_is_done() {
    let phases = PhaseControl::new();
    let layer = FinishWithinLayer::new(phases.watch(), Duration::ZERO);
    let body_of = |left: usize| {
        layer.layer(service_fn(move |_: Request<()>| async move {
            let frame = |_| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from("x")));
            let frames = stream::iter((0..left).map(frame));
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        }))
    };
    let answer = body_of(1).oneshot(Request::new(())).await.unwrap();
    let mut whole = Box::pin(answer.into_body());
    let answer = body_of(1000).oneshot(Request::new(())).await.unwrap();
    let mut more = Box::pin(answer.into_body());
    assert!(whole.frame().await.unwrap().is_ok());
    assert!(whole.frame().await.is_none());
    assert!(more.frame().await.unwrap().is_ok());
    phases.advance(Phase::Draining);
    assert!(is_over(more.frame().now_or_never().unwrap()));

    // An answer that is there at once is given, at whatever time; its body is not.
    let answer = body_of(2).oneshot(Request::new(())).now_or_never();
    let mut late = Box::pin(answer.unwrap().unwrap().into_body());
    assert!(is_over(late.frame().now_or_never().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_time_longer_than_the_drain_is_none() {
    for limit in [SECOND, 100 * SECOND, Duration::MAX] {
        let builder = quiet_builder().grace(20 * SECOND).settle(2 * SECOND);
        let lifecycle = builder.hook_time(4 * SECOND).build().unwrap();
        assert_eq!(lifecycle.budget().drain(), 13 * SECOND);
        let dropped = Arc::default();
        let app = ServiceBuilder::new()
            .layer(lifecycle.layer())
            .layer(lifecycle.finish_within(limit))
            .service(service_fn(|_: Request<()>| endless(&dropped)));
        let handle = lifecycle.handle();
        let server = async {
            let mut answer = Box::pin(app.oneshot(Request::new(())));
            assert!(answer.as_mut().now_or_never().is_none());
            handle.shutdown();
            let answered = async { drop(answer.await.unwrap().into_body().collect().await) };
            join(answered, handle.stop_accepting()).await;
        };
        let report = lifecycle.run(server).await;
        let overruns = limit == SECOND;
        let expected = if overruns {
            (Outcome::Clean, 0, 1, 0, 3)
        } else {
            (Outcome::Forced, 1, 0, 1, 15)
        };
        let named = report.aborted.len();
        assert_eq!(
            (
                report.outcome,
                report.exit_status(),
                report.overran,
                named,
                report.took.as_secs()
            ),
            expected,
            "{limit:?}: {report:?}"
        );
        assert_eq!((report.completed, report.rejected), (0, 0), "{report:?}");
    }
}

async fn ticks() -> Sse<impl futures_util::Stream<Item = Result<Event, Infallible>>> {
    let ticks = stream::unfold((), |()| async {
        sleep(Duration::from_millis(5)).await;
        Some((Event::default().data("tick"), ()))
    });
    Sse::new(ticks.map(Ok))
}

fn routes(lifecycle: &Lifecycle) -> Router {
    let watch = lifecycle.watch();
    let soon = lifecycle.finish_within(SECOND / 5);
    let in_time = move || async move {
        watch.reached(Phase::Draining).await;
        "in time"
    };
    Router::new()
        .route("/ticks", get(ticks))
        .route("/never", get(pending::<&str>))
        .route("/in-time", get(in_time))
        .layer(ServiceBuilder::new().layer(soon))
}

/// All of them hang, and the drain is over long before its time.
#[tokio::test(flavor = "multi_thread")]
async fn what_hangs_on_such_routes_ends_and_the_drain_is_clean() {
    for server in SERVERS {
        let grace = Duration::from_secs(3600);
        let instance = Instance::start_with(server, quiet_builder().grace(grace), routes).await;
        let mut events = Client::connect(instance.address).await;
        events.send("/ticks").await;
        let mut never = Client::connect(instance.address).await;
        never.send("/never").await;
        let mut in_time = Client::connect(instance.address).await;
        in_time.send("/in-time").await;
        let tcp = TokioIo::new(TcpStream::connect(instance.address).await.unwrap());
        let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp).await;
        let (mut http2, connection) = shaken.unwrap();
        let connection = tokio::spawn(connection);
        let uri = format!("http://{}/ticks", instance.address);
        let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        let mut stream = http2.send_request(request).await.unwrap().into_body();
        assert!(stream.frame().await.unwrap().is_ok());
        let handle = instance.handle.clone();
        let bodies = async || {
            let requests = handle.status().requests;
            let body = |one: &&tower_handoff::lifecycle::Unfinished| one.stage == Stage::Body;
            (requests.len(), requests.iter().filter(body).count()) == (4, 2)
        };
        eventually("all four are under way", bodies).await;
        handle.shutdown();

        let (head, body) = within("the answer in time", in_time.answer()).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body, b"in time");
        let (head, body) = within("the answer in its place", never.answer()).await;
        assert!(
            head.starts_with("http/1.1 503") && head.contains("connection: close"),
            "{head}"
        );
        assert!(String::from_utf8(body).unwrap().contains("cut-off"));
        let mut text = Vec::new();
        let _ = within("the end", events.tcp.read_to_end(&mut text)).await;
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("data: tick"), "{text}");
        assert!(!text.ends_with("0\r\n\r\n"), "a false end: {text}");
        let cut = async {
            while let Some(frame) = stream.frame().await {
                if frame.is_err() {
                    return true;
                }
            }
            false
        };
        assert!(within("the stream's end", cut).await, "a false end");
        drop(http2);
        let _ = within("the connection", connection).await;

        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.exit_status(), &report.server),
            (Outcome::Clean, 0, &ServerOutcome::Done),
            "{report:?}"
        );
        assert_eq!(
            (report.overran, report.completed, report.in_flight_at_signal),
            (3, 1, 4),
            "{report:?}"
        );
        assert_eq!(report.aborted, []);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["overran"], 3);
    }
}
