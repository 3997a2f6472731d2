//! In-flight tracking: one request through a service that answers at once, its body read to the end.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, service_fn};

use crate::Error;
use crate::measure::{Series, header, row};

const REQUESTS: u32 = 400_000;
const REPETITIONS: usize = 7;

/// Polls by hand: no runtime between the figures.
fn drive<S, B>(service: &mut S)
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
    let mut future = pin!(service.call(Request::new(())));
    let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut cx) else {
        panic!("not at once")
    };
    let mut body = pin!(response.into_body().collect());
    assert!(matches!(body.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
}

fn nanoseconds<S, B>(threads: usize, service: S) -> f64
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone + Send,
    B: http_body::Body<Data = Bytes>,
{
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let mut service = service.clone();
            scope.spawn(move || {
                for _ in 0..REQUESTS {
                    drive(black_box(&mut service));
                }
            });
        }
    });
    start.elapsed().as_secs_f64() * 1e9 / f64::from(REQUESTS)
}

pub fn run() -> Result<(), Error> {
    let bare = service_fn(|_: Request<()>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    });
    let names = [
        "nothing",
        "tower-handoff, list of requests",
        "tower-handoff, count only",
        "tower-http",
        "tokio-util TaskTracker token",
    ];
    println!("\n## In-flight tracking, {REPETITIONS} repetitions, interleaved\n");
    header(&[
        "threads",
        "layer",
        "ns a request (median)",
        "spread",
        "added",
    ]);
    for threads in [1, 2] {
        let mut series = vec![Series::default(); names.len()];
        for _ in 0..REPETITIONS {
            let tracker = tokio_util::task::TaskTracker::new();
            let tracked = service_fn(move |request: Request<()>| {
                let token = tracker.token();
                async move {
                    let _token = token;
                    let _ = request;
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                }
            });
            let handoff = tower_handoff::InFlightLayer::new(tower_handoff::InFlight::new());
            let (tower_http, _counter) = tower_http::metrics::InFlightRequestsLayer::pair();
            series[0].push(nanoseconds(threads, bare));
            let counting = handoff.clone().with_list(false);
            series[1].push(nanoseconds(threads, handoff.layer(bare)));
            series[2].push(nanoseconds(threads, counting.layer(bare)));
            series[3].push(nanoseconds(threads, tower_http.layer(bare)));
            series[4].push(nanoseconds(threads, tracked));
        }
        for (name, one) in names.iter().zip(&series) {
            row(&[
                threads.to_string(),
                (*name).to_owned(),
                format!("{:.1}", one.median()),
                one.spread(),
                format!("{:+.1}", one.median() - series[0].median()),
            ]);
        }
    }
    println!("\nOnly tower-handoff's can be waited for at zero and names what is stuck.");
    Ok(())
}
