//! Clients that go away at any moment, on connections of a real server: none of them is left counted.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::yield_now;
use tower::{Layer, service_fn};

use super::common::{eventually, quiet_builder, within};
use super::in_flight_race::{TASKS, cancellations_a_task, next};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Three pieces, each of which has to be waited for.
async fn answer(
    _: Request<Incoming>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    yield_now().await;
    let pieces = stream::unfold(0, |piece| async move {
        yield_now().await;
        let frame = Ok(Frame::data(Bytes::from_static(b"some bytes of an answer")));
        (piece < 3).then_some((frame, piece + 1))
    });
    Ok(Response::new(StreamBody::new(Box::pin(pieces))))
}

/// One that never reads its answer whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_go_away_at_any_point_leave_nothing_in_flight() {
    let lifecycle = quiet_builder().build().unwrap();
    let (handle, layer) = (lifecycle.handle(), lifecycle.layer());
    let mut runs = Vec::new();
    for run in 1..=TASKS {
        let (handle, layer) = (handle.clone(), layer.clone());
        runs.push(tokio::spawn(async move {
            let mut seed = run * 7919;
            let service = TowerToHyperService::new(layer.layer(service_fn(answer)));
            for _ in 0..cancellations_a_task() {
                let (mut theirs, ours) = duplex(64);
                let io = TokioIo::new(handle.wrap_io(ours, None));
                let served = http1::Builder::new().serve_connection(io, service.clone());
                let served = tokio::spawn(served);
                let (kind, moment) = (next(&mut seed) % 4, next(&mut seed) % 8);
                // In the middle of its head, or after it.
                let sent = if kind == 0 {
                    REQUEST.len() / 2
                } else {
                    REQUEST.len()
                };
                theirs.write_all(&REQUEST[..sent]).await.unwrap();
                for _ in 0..moment {
                    yield_now().await;
                }
                match kind {
                    2 => {
                        let read = theirs.read(&mut [0; 48]).await.unwrap();
                        assert!(read > 0);
                    }
                    // It is the server that goes.
                    3 => served.abort(),
                    _ => {}
                }
                drop(theirs);
                let _ = served.await;
            }
        }));
    }
    for run in runs {
        run.await.unwrap();
    }
    let in_flight = handle.in_flight();
    within("the count comes to zero", in_flight.idle()).await;
    assert_eq!((in_flight.count(), in_flight.requests()), (0, vec![]));
    let nothing = async || handle.status().connections.is_empty();
    eventually("no connection is listed", nothing).await;
    // And the drain finds nothing to wait for.
    handle.shutdown();
    let report = within("the run", lifecycle.run(handle.stop_accepting())).await;
    assert!(report.draining < Duration::from_secs(5), "{report:?}");
    assert_eq!(report.aborted, []);
}
