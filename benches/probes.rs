//! What a probe costs: its CPU, and how long it takes while every check hangs.

use std::future::pending;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body::Body;
use tower::Service;
use tower_handoff::health::{Check, ProbeService};
use tower_handoff::lifecycle::Lifecycle;

/// One probe, from the call to the end of its body, in one poll each: it waits for nobody.
fn probe(probes: &mut ProbeService, path: &str) {
    let mut cx = Context::from_waker(Waker::noop());
    let request = Request::builder().uri(path).body(()).expect("a request");
    let Poll::Ready(Ok(answer)) = pin!(probes.call(request)).poll(&mut cx) else {
        panic!("a probe that waits");
    };
    let mut body = pin!(answer.into_body());
    assert!(black_box(body.as_mut().poll_frame(&mut cx)).is_ready());
}

fn probes(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    for hanging in [0, 8] {
        let mut builder = Lifecycle::builder().instance_id("bench");
        for check in 0..hanging {
            builder = builder.check(Check::new(format!("check-{check}"), pending));
        }
        let lifecycle = builder.build().expect("a lifecycle");
        let mut service = lifecycle.probes().with_details(true);
        let stop = lifecycle.handle().stop_accepting();
        let run = runtime.spawn(async move { drop(lifecycle.run(stop).await) });
        for path in ProbeService::PATHS {
            c.bench_function(&format!("probes{path}/hanging_checks={hanging}"), |b| {
                b.iter(|| probe(&mut service, path));
            });
        }
        run.abort();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = probes
}
criterion_main!(benches);
