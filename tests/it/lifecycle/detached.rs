//! A handler that goes on though its client has gone, and is waited for.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::{Notify, Semaphore};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_handoff::in_flight::RouteName;
use tower_handoff::lifecycle::{Lifecycle, LifecycleHandle, Outcome, Phase, Stage};
use tower_handoff::{Reason, Refusal};
use tracing::Level;

use super::common::{Client, Journal, eventually, quiet_builder, request, within};
use super::instance::{Instance, SERVERS};
use crate::support::log::Log;

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn hello() -> Answer {
    Ok(Response::new(Full::new(Bytes::from("hello"))))
}

/// The names of the tasks that run.
fn tasks(handle: &LifecycleHandle) -> Vec<String> {
    let tasks = handle.status().tasks;
    assert!(tasks.iter().all(|task| task.stage == Stage::Task));
    let names = tasks.iter().filter_map(|task| task.name.as_deref());
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_ends_though_its_client_has_gone_and_the_shutdown_waits_for_it() {
    for server in SERVERS {
        for detached in [true, false] {
            let journal = Journal::default();
            let go = Arc::new(Semaphore::new(0));
            let (own, gate) = (journal.clone(), go.clone());
            let pay = move || async move {
                own.note("begun");
                let _dropped = NoteDropped(own.clone());
                gate.acquire().await.unwrap().forget();
                own.note("paid");
            };
            let routes = |lifecycle: &Lifecycle| {
                let pay = match detached {
                    true => post(pay).layer(lifecycle.detach()),
                    false => post(pay),
                };
                Router::new()
                    .route("/orders/{id}/pay", pay)
                    .route("/", get(|| async {}))
            };
            let grace = Duration::from_secs(3600);
            let instance = Instance::start_with(server, quiet_builder().grace(grace), routes).await;
            let handle = instance.handle.clone();
            let mut client = Client::connect(instance.address).await;
            let head = b"POST /orders/7/pay HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
            use tokio::io::AsyncWriteExt;
            client.tcp.write_all(head).await.unwrap();
            eventually("it runs", async || journal.read() == ["begun"]).await;
            assert_eq!(handle.in_flight().count(), 1);
            let named = &["POST /orders/{id}/pay"][..usize::from(detached)];
            assert_eq!(tasks(&handle), named);
            // Its client goes away.
            drop(client);
            let in_flight = handle.in_flight();
            eventually("the request is over", async || in_flight.is_idle()).await;
            assert_eq!(tasks(&handle), named);
            if !detached {
                // What the layer is there for.
                assert_eq!(journal.read(), ["begun", "dropped"]);
                handle.shutdown();
                assert_eq!(instance.report().await.outcome, Outcome::Clean);
                continue;
            }
            handle.shutdown();
            handle.watch().reached(Phase::Draining).await;
            assert_eq!(journal.read(), ["begun"]);
            assert!(!instance.run.is_finished());
            go.add_permits(1);
            let report = instance.report().await;
            assert_eq!(journal.read(), ["begun", "paid", "dropped"]);
            assert_eq!((report.outcome, report.tasks), (Outcome::Clean, 1));
            assert_eq!((report.in_flight_at_signal, report.aborted.len()), (0, 0));
        }
    }
}

struct NoteDropped(Journal);

impl Drop for NoteDropped {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

#[tokio::test]
async fn an_answer_an_error_and_a_panic_come_back_as_they_would_without() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let well = lifecycle.detach().layer(service_fn(|_: Request<()>| async {
        tokio::task::yield_now().await;
        hello()
    }));
    let answer = well.oneshot(request()).await.unwrap();
    assert_eq!(answer.collect().await.unwrap().to_bytes(), "hello");
    let badly = lifecycle.detach().layer(service_fn(|_: Request<()>| async {
        Err::<Response<Full<Bytes>>, _>("no")
    }));
    assert_eq!(badly.oneshot(request()).await.unwrap_err(), "no");
    let panics = lifecycle.detach().layer(service_fn(|_: Request<()>| async {
        tokio::task::yield_now().await;
        if true {
            panic!("as asked");
        }
        hello()
    }));
    let (log, _guard) = Log::of_this_thread(Level::ERROR);
    let panic = AssertUnwindSafe(panics.oneshot(request())).catch_unwind();
    let panic = within("the panic", panic).await;
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "as asked");
    assert_eq!(log.text(), "");
    eventually("no task is left", async || tasks(&handle).is_empty()).await;
}

#[tokio::test]
async fn a_panic_that_nobody_waits_for_is_logged_and_ends_the_task() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let mut panics = lifecycle.detach().layer(service_fn(move |_: Request<()>| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            if true {
                panic!("as asked");
            }
            hello()
        }
    }));
    let (log, _guard) = Log::of_this_thread(Level::ERROR);
    let mut request = request();
    request.extensions_mut().insert(RouteName::new("/pay"));
    drop(panics.call(request));
    eventually("it runs", async || tasks(&handle) == ["GET /pay"]).await;
    go.notify_one();
    eventually("no task is left", async || tasks(&handle).is_empty()).await;
    let text = log.text();
    assert!(
        text.contains("a handler panicked") && text.contains("GET /pay"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn at_the_drains_end_it_is_dropped_and_named_and_its_client_told() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let journal = Journal::default();
    let own = journal.clone();
    let app = ServiceBuilder::new()
        .layer(lifecycle.layer())
        .layer(lifecycle.detach())
        .service(service_fn(move |_: Request<()>| {
            let dropped = NoteDropped(own.clone());
            async move {
                let _dropped = dropped;
                pending::<Answer>().await
            }
        }));
    let waits = tokio::spawn(app.clone().oneshot(request()));
    let goes = tokio::spawn(app.oneshot(request()));
    eventually("both run", async || tasks(&handle).len() == 2).await;
    goes.abort();
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(report.outcome, Outcome::Forced);
    let named = report.aborted.iter().filter_map(|one| one.name.as_deref());
    assert_eq!(named.collect::<Vec<_>>(), ["GET", "GET"], "{report:?}");
    let answer = within("the answer", waits).await.unwrap().unwrap();
    assert_eq!(journal.read(), ["dropped", "dropped"]);
    assert_eq!(answer.status(), 503);
    let refusal = answer.extensions().get::<Refusal>();
    assert_eq!(refusal.map(|refusal| refusal.reason), Some(Reason::CutOff));
    assert!(
        !answer.headers().contains_key("retry-after"),
        "who knows what was done"
    );
}

/// Its answer goes out while HTTP/2 says goodbye.
#[tokio::test(start_paused = true)]
async fn what_is_answered_in_its_place_is_not_completed() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let app = ServiceBuilder::new()
        .layer(lifecycle.layer())
        .layer(lifecycle.detach())
        .service(service_fn(|_: Request<()>| pending::<Answer>()));
    let (mut theirs, ours) = duplex(64);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    theirs.write_all(preface).await.unwrap();
    let mut http2 = handle.wrap_io(ours, None);
    http2.read_exact(&mut [0; 24]).await.unwrap();
    let answered = tokio::spawn(async move {
        let answer = app.oneshot(request()).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    });
    eventually("it runs", async || tasks(&handle).len() == 1).await;
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(within("the answer", answered).await.unwrap(), 503);
    assert_eq!(
        (report.in_flight_at_signal, report.completed),
        (1, 0),
        "{report:?}"
    );
    assert_eq!((report.outcome, report.aborted.len()), (Outcome::Forced, 1));
}

/// Where the lifecycle has ended nothing waits for it any more, so it does not begin.
#[tokio::test]
async fn whoever_comes_too_late_is_told() {
    let lifecycle = quiet_builder().build().unwrap();
    let detach = lifecycle.detach();
    let handle = lifecycle.handle();
    handle.shutdown();
    lifecycle.run(handle.stop_accepting()).await;
    let app = detach.layer(service_fn(|_: Request<()>| pending::<Answer>()));
    let answer = within("the answer", app.oneshot(request())).await.unwrap();
    assert_eq!(answer.status(), 503);
}

/// Its log lines are those of its request.
#[tokio::test]
async fn it_runs_in_the_span_of_its_request() {
    use tracing::Instrument;
    let lifecycle = quiet_builder().build().unwrap();
    let (log, _guard) = Log::of_this_thread(Level::INFO);
    let app = lifecycle.detach().layer(service_fn(|_: Request<()>| async {
        tokio::task::yield_now().await;
        tracing::info!("at work");
        hello()
    }));
    let served = app
        .oneshot(request())
        .instrument(tracing::info_span!("asked", id = 7));
    served.await.unwrap();
    let text = log.text();
    assert!(
        text.contains("asked{id=7}") && text.contains("at work"),
        "{text}"
    );
}

/// It holds the drain by itself, so what is beneath the drain's count is not lost between the two.
#[tokio::test(start_paused = true)]
async fn it_is_counted_from_its_call_on() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let mut app = lifecycle.detach().layer(service_fn(|_: Request<()>| {
        let work: std::pin::Pin<Box<dyn Future<Output = Answer> + Send>> = Box::pin(async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            hello()
        });
        work
    }));
    // Never polled, and gone.
    drop(app.call(request()));
    assert_eq!(tasks(&handle).len(), 1);
    handle.shutdown();
    let report = lifecycle.run(handle.stop_accepting()).await;
    assert_eq!(
        (report.outcome, report.draining.as_secs()),
        (Outcome::Clean, 3)
    );
}
