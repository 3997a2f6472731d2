//! A drain that ends in the very moment when its time is over: forced is only what was cut off.

use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{sleep, sleep_until};
use tower_handoff::lifecycle::{
    LifecycleBuilder, LifecycleHandle, Outcome, Phase, Report, ServerOutcome, Stage,
};

use super::common::{quiet_builder, within};
use super::instance::{Instance, SERVERS, Server};

const MILLI: Duration = Duration::from_millis(1);

/// HTTP/2 on which `GET /` is asked.
const HTTP2: [u8; 45] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x86";

/// All of the grace is for the others; a quarter of the margin is left for the server.
fn without_a_drain() -> LifecycleBuilder {
    let builder = quiet_builder().grace(20_000 * MILLI).settle(100 * MILLI);
    builder.hook_time(18_900 * MILLI)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_of_zero_is_clean_where_nothing_is_in_flight() {
    for server in SERVERS {
        // The server has a quarter of a second to end, in which a busy machine may not come so far.
        let mut tries = 0;
        let report = loop {
            let report = without_anything_in_flight(server).await;
            if report.server == ServerOutcome::Done {
                break report;
            }
            tries += 1;
            assert!(tries < 10, "{server:?} {report:?}");
        };
        assert_eq!(
            (report.outcome, report.exit_status()),
            (Outcome::Clean, 0),
            "{server:?} {report:?}"
        );
    }
}

async fn without_anything_in_flight(server: Server) -> Report {
    let instance = Instance::start(server, without_a_drain()).await;
    let mut idle = super::common::Client::connect(instance.address).await;
    assert!(idle.get("/").await.0.starts_with("http/1.1 200"));
    instance.handle.shutdown();
    instance.report().await
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_zero_cuts_off_what_is_in_flight() {
    let lifecycle = without_a_drain().build().unwrap();
    assert_eq!(lifecycle.budget().drain(), Duration::ZERO);
    let handle = lifecycle.handle();
    let task = handle.spawn("endless", pending());
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!((report.outcome, report.aborted.len()), (Outcome::Forced, 1));
    task.await.unwrap();
}

/// A run of a second's drain and a second's margin, with a server that needs `ends_in` to end.
async fn run(builds: impl FnOnce(&LifecycleHandle), ends_in: Duration) -> Report {
    let builder = quiet_builder().grace(20_000 * MILLI);
    let lifecycle = builder.hook_time(18_000 * MILLI).build().unwrap();
    assert_eq!(lifecycle.budget().drain(), 1000 * MILLI);
    let handle = lifecycle.handle();
    builds(&handle);
    handle.shutdown();
    let stop = handle.stop_accepting();
    let server = async move {
        stop.await;
        sleep(ends_in).await;
    };
    lifecycle.run(server).await
}

/// Holds a request for so long after the shutdown.
fn request_for(handle: &LifecycleHandle, time: Duration) {
    let token = handle.in_flight().token();
    let deadline = tokio::time::Instant::now() + time;
    tokio::spawn(async move {
        sleep_until(deadline).await;
        drop(token);
    });
}

#[tokio::test(start_paused = true)]
async fn a_request_that_ends_just_in_time_leaves_the_server_a_moment_to_end() {
    let report = run(|handle| request_for(handle, 995 * MILLI), 20 * MILLI).await;
    assert_eq!(report.took, 1015 * MILLI);
    assert_eq!(
        (report.outcome, report.server),
        (Outcome::Clean, ServerOutcome::Done)
    );
    // Longer than that it is not waited for; but it has cut nobody off, and ends by itself.
    let report = run(|handle| request_for(handle, 995 * MILLI), 200 * MILLI).await;
    assert_eq!(
        (report.outcome, report.server, report.aborted),
        (Outcome::Clean, ServerOutcome::Done, vec![])
    );
    let report = run(|_| {}, 1300 * MILLI).await;
    assert_eq!(
        (report.outcome, report.server),
        (Outcome::Forced, ServerOutcome::Cut)
    );
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_http2_says_goodbye_was_not_cut_off() {
    for (lets_go, outcome) in [(true, Outcome::Clean), (false, Outcome::Forced)] {
        let (mut theirs, ours) = duplex(64);
        theirs.write_all(&HTTP2).await.unwrap();
        let builds = |handle: &LifecycleHandle| {
            let mut http2 = handle.wrap_io(ours, None);
            let watch = handle.watch();
            request_for(handle, 1020 * MILLI);
            tokio::spawn(async move {
                http2.read_exact(&mut [0; HTTP2.len()]).await.unwrap();
                watch.reached(Phase::Forcing).await;
                if lets_go {
                    sleep(30 * MILLI).await;
                } else {
                    let _ = http2.read_u8().await;
                }
            });
        };
        let report = within("the run", run(builds, 40 * MILLI)).await;
        assert_eq!(report.outcome, outcome, "{report:?}");
        let stages: Vec<_> = report.aborted.iter().map(|one| one.stage).collect();
        let expected: &[Stage] = if lets_go { &[] } else { &[Stage::Http2] };
        assert_eq!(stages, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_request_spawns_after_the_deadline_is_named() {
    let (mut theirs, ours) = duplex(64);
    theirs.write_all(&HTTP2).await.unwrap();
    let builds = |handle: &LifecycleHandle| {
        let mut http2 = handle.wrap_io(ours, None);
        let (handle, token) = (handle.clone(), handle.in_flight().token());
        tokio::spawn(async move {
            http2.read_exact(&mut [0; HTTP2.len()]).await.unwrap();
            handle.watch().reached(Phase::Forcing).await;
            sleep(20 * MILLI).await;
            let mail = handle.spawn("mail", pending());
            drop(token);
            within("its end", mail).await.unwrap();
            sleep(10 * MILLI).await;
        });
    };
    let report = within("the run", run(builds, 40 * MILLI)).await;
    let names: Vec<_> = report
        .aborted
        .iter()
        .map(|one| one.name.as_deref())
        .collect();
    assert_eq!(
        (report.outcome, names),
        (Outcome::Forced, vec![Some("mail")])
    );
}
