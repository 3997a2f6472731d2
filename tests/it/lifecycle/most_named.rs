//! Lists are bounded: strangers decide how much there is to list.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};

use super::common::quiet_builder;

#[tokio::test(start_paused = true)]
async fn status_lists_the_oldest_thousand_of_each() {
    let lifecycle = quiet_builder().report_paths(true).build().unwrap();
    let handle = lifecycle.handle();
    let mut service = lifecycle.layer().layer(service_fn(|_: Request<()>| {
        pending::<Result<Response<Full<Bytes>>, Infallible>>()
    }));
    let mut requests = Vec::new();
    for number in 0..1100 {
        let path = format!("/{number}");
        requests.push(service.call(Request::get(&path).body(()).unwrap()));
        handle.spawn(path, pending());
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let status = handle.status();
    assert_eq!(status.in_flight, 1100);
    assert_eq!((status.requests.len(), status.tasks.len()), (1000, 1000));
    for (number, (request, task)) in status.requests.iter().zip(&status.tasks).enumerate() {
        let name = format!("/{number}");
        assert_eq!(request.path.as_ref(), Some(&name));
        assert_eq!(task.name.as_deref(), Some(&*name));
    }
    // Who asks for all of them gets all of them.
    assert_eq!(handle.in_flight().requests().len(), 1100);
}
