//! Code that is never at rest, and uses up all that its task may do in one go: the drain's times hold.

use std::convert::Infallible;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream, StreamExt};
use http::{Request, Response};
use http_body_util::Full;
use tokio::task::coop::poll_proceed;
use tokio::task::{JoinHandle, consume_budget};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_handoff::lifecycle::{Outcome, Phase, PhaseControl, ServerOutcome};

use super::common::{quiet_builder, request};

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(10);

/// As an accept loop does whose queue is never empty.
async fn busy<T>() -> T {
    loop {
        consume_budget().await;
    }
}

/// The clock stands while anybody has something to do, so it is moved on by hand; how long it took.
async fn ends<T>(what: &str, task: JoinHandle<T>) -> (T, Duration) {
    let begun = Instant::now();
    while !task.is_finished() {
        assert!(begun.elapsed() < 60 * SECOND, "never ended: {what}");
        tokio::time::advance(TICK).await;
    }
    let took = begun.elapsed();
    (task.await.unwrap(), took)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_never_at_rest_is_drained_and_dropped_in_time() {
    let lifecycle = quiet_builder().settle(SECOND).build().unwrap();
    let handle = lifecycle.handle();
    handle.shutdown();
    // Waited for until the drain's time is over.
    let held = handle.in_flight().token();
    let run = tokio::spawn(lifecycle.run(busy::<()>()));
    let draining = tokio::spawn(handle.watch().reached(Phase::Draining));
    let ((), settled) = ends("the settle", draining).await;
    assert!(settled < 3 * SECOND, "{settled:?}");
    let (report, _) = ends("the run", run).await;
    drop(held);
    assert_eq!(report.server, ServerOutcome::Cut);
    assert_eq!((report.outcome, report.exit_status()), (Outcome::Forced, 1));
    assert!(report.took < 11 * SECOND, "{:?}", report.took);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_never_at_rest_has_no_more_of_the_drain_than_its_route_gives_it() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let layer = lifecycle.finish_within(SECOND);
    let service = layer.layer(service_fn(|_: Request<()>| {
        busy::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let call = tokio::spawn(async move {
        let answer = service.oneshot(request()).await.unwrap();
        answer.status()
    });
    let run = tokio::spawn(lifecycle.run(ready(())));
    handle.shutdown();
    let (status, took) = ends("the call", call).await;
    assert_eq!(status, 503);
    assert!(took < 2 * SECOND, "{took:?}");
    ends("the run", run).await;
}

/// An accept loop of one's own that asks last whether it is to stop.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_never_at_rest_hears_that_it_is_to_stop() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let mut stop = Box::pin(lifecycle.stop_accepting());
    let run = tokio::spawn(lifecycle.run(poll_fn(move |cx| {
        while let Poll::Ready(accepted) = poll_proceed(cx) {
            accepted.made_progress();
        }
        stop.as_mut().poll(cx)
    })));
    handle.shutdown();
    let (report, _) = ends("the run", run).await;
    assert_eq!(report.server, ServerOutcome::Done);
    assert_eq!(report.outcome, Outcome::Clean);
}

/// A socket of a peer that hears the goodbye and goes on and on with one endless message.
struct Endless;

impl Stream for Endless {
    type Item = Result<&'static str, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Poll::Ready(read) = poll_proceed(cx) {
            read.made_progress();
        }
        Poll::Pending
    }
}

impl Sink<&'static str> for Endless {
    type Error = Infallible;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, _: &'static str) -> Result<(), Infallible> {
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_ends_its_message_does_not_outlast_the_patience() {
    let phases = PhaseControl::new();
    let socket = phases.watch().close_at_drain(Endless, "bye", SECOND);
    phases.advance(Phase::Draining);
    let last = tokio::spawn(async move {
        let mut socket = socket;
        socket.next().await
    });
    let (message, took) = ends("the socket", last).await;
    assert_eq!(message, None);
    assert!(took < 2 * SECOND, "{took:?}");
}
