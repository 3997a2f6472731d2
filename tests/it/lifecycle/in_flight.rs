//! A request counts from its call to the end of its answer, however it ends.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_handoff::in_flight::{InFlight, InFlightLayer, RouteName};
use tower_handoff::lifecycle::Stage;

use super::common::{channel_body, hello, request};

#[tokio::test]
async fn a_body_is_in_flight_until_it_is_dropped() {
    let in_flight = InFlight::new();
    let (sender, body) = channel_body();
    let mut body = Some(body);
    let mut service = InFlightLayer::new(in_flight).layer(service_fn(move |_: Request<()>| {
        let body = body.take().unwrap();
        async { Ok::<_, Infallible>(Response::new(body)) }
    }));

    let mut answer = service
        .ready()
        .await
        .unwrap()
        .call(request())
        .await
        .unwrap();
    // A stream: nobody knows when it ends.
    assert_eq!(
        (in_flight.count(), in_flight.requests()[0].stage),
        (1, Stage::Body)
    );
    sender.send(Ok(Bytes::from("one"))).unwrap();
    answer.body_mut().frame().await.unwrap().unwrap();
    assert!(answer.body_mut().frame().now_or_never().is_none());
    assert_eq!(in_flight.count(), 1);
    drop(sender);
    assert!(answer.body_mut().frame().await.is_none());
    drop(answer);
    assert_eq!(in_flight.count(), 0);
    assert!(in_flight.requests().is_empty());
}

#[tokio::test]
async fn a_body_of_a_known_size_is_named_by_how_large_it_is() {
    let in_flight = InFlight::new();
    for (size, stage) in [(64 * 1024, Stage::Handler), (64 * 1024 + 1, Stage::Body)] {
        let service =
            InFlightLayer::new(in_flight).layer(service_fn(move |_: Request<()>| async move {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![0; size]))))
            }));
        let answer = service.oneshot(request()).await.unwrap();
        let listed = in_flight.requests();
        assert_eq!((listed.len(), listed[0].stage), (1, stage), "{size} bytes");
        drop(answer);
        assert_eq!(in_flight.count(), 0);
    }
}

#[tokio::test]
async fn an_error_a_panic_and_a_client_that_went_away_are_ends() {
    let in_flight = InFlight::new();
    let layer = InFlightLayer::new(in_flight);

    let fails = layer.layer(service_fn(|_: Request<()>| async {
        Err::<Response<Full<Bytes>>, _>("no")
    }));
    assert!(fails.oneshot(request()).await.is_err());
    assert_eq!(in_flight.count(), 0);

    let panics = layer.layer(service_fn(|_: Request<()>| async {
        if true {
            panic!("as asked");
        }
        hello(request()).await
    }));
    assert!(
        tokio::spawn(panics.oneshot(request()))
            .await
            .unwrap_err()
            .is_panic()
    );
    assert_eq!(in_flight.count(), 0);

    let mut panics_in_call = layer.layer(service_fn(
        |_: Request<()>| -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>> {
            panic!("as asked")
        },
    ));
    let call = std::panic::AssertUnwindSafe(|| panics_in_call.call(request()));
    assert!(std::panic::catch_unwind(call).is_err());
    assert_eq!(in_flight.count(), 0);

    let mut hangs = layer.layer(service_fn(|_: Request<()>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let never_polled = hangs.call(request());
    assert_eq!(in_flight.count(), 1);
    drop(never_polled);
    assert_eq!(in_flight.count(), 0);

    let mut polled = Box::pin(hangs.call(request()));
    assert!(polled.as_mut().now_or_never().is_none());
    assert_eq!(in_flight.count(), 1);
    drop(polled);
    assert_eq!(in_flight.count(), 0);
}

#[tokio::test]
async fn poll_ready_does_not_count() {
    let in_flight = InFlight::new();
    let mut service = InFlightLayer::new(in_flight).layer(service_fn(hello));
    for _ in 0..3 {
        let ready = ServiceExt::<Request<()>>::ready(&mut service);
        ready.await.unwrap();
    }
    assert_eq!(in_flight.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn idle_is_a_level_and_not_an_edge() {
    let in_flight = InFlight::new();
    in_flight.idle().await;

    // It was zero in between: not enough, when it is not zero now.
    let first = in_flight.token();
    let (ended, mut end) = oneshot::channel();
    let idle = in_flight.idle();
    let waiter = tokio::spawn(async move {
        idle.await;
        let _ = ended.send(());
    });
    tokio::task::yield_now().await;
    drop(first);
    let second = in_flight.token();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(end.try_recv().is_err());
    // And it is not latched: the waiter sleeps on and hears the next departure.
    drop(second);
    tokio::time::timeout(Duration::from_secs(20), waiter)
        .await
        .unwrap()
        .unwrap();
    in_flight.idle().await;
    let _third = in_flight.token();
    let mut idle = Box::pin(in_flight.idle());
    assert!(idle.as_mut().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_list_says_method_route_age_and_shows_paths_only_where_asked() {
    let in_flight = InFlight::new();
    let hangs = || {
        service_fn(|_: Request<()>| {
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
        })
    };
    let mut discreet = InFlightLayer::new(in_flight).layer(hangs());
    let mut open = InFlightLayer::new(in_flight)
        .with_paths(true)
        .layer(hangs());
    let mut counting = InFlightLayer::new(in_flight)
        .with_list(false)
        .layer(hangs());

    let mut named = Request::post("/orders/7?secret=1").body(()).unwrap();
    named
        .extensions_mut()
        .insert(RouteName::new("/orders/{id}"));
    let _first = discreet.call(named.clone());
    tokio::time::advance(Duration::from_secs(3)).await;
    let _second = open.call(named);
    let _third = counting.call(request());

    assert_eq!(in_flight.count(), 3);
    let list = serde_json::to_value(in_flight.requests()).unwrap();
    let expected = serde_json::json!([
        {"method":"POST","route":"/orders/{id}","path":null,"age_ms":3000,"stage":"handler"},
        {"method":"POST","route":"/orders/{id}","path":"/orders/7","age_ms":0,"stage":"handler"},
    ]);
    assert_eq!(list, expected);
}

#[tokio::test]
async fn axum_tells_its_route() {
    use axum::{Router, body::Body, routing::get};
    let in_flight = InFlight::new();
    let app: Router = Router::new()
        .route("/orders/{id}", get(|| async { "paid" }))
        .layer(InFlightLayer::new(in_flight));
    let answer = app.oneshot(Request::get("/orders/7").body(Body::empty()).unwrap());
    let answer = answer.await.unwrap();
    let listed = in_flight.requests();
    assert_eq!(listed[0].route.as_deref(), Some("/orders/{id}"));
    drop(answer);
    assert_eq!(in_flight.count(), 0);
}

/// The length is known, so hyper sends no chunks.
#[tokio::test]
async fn the_size_of_the_body_shows_through() {
    let service = InFlightLayer::new(InFlight::new()).layer(service_fn(hello));
    let answer = service.oneshot(request()).await.unwrap();
    assert_eq!(http_body::Body::size_hint(answer.body()).exact(), Some(5));
    let collected = Pin::from(Box::new(answer.into_body())).collect().await;
    assert_eq!(collected.unwrap().to_bytes(), "hello");
}
