//! A listener whose server does not hear of the settle's end is warned of, as its clients cannot be.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tower_handoff::lifecycle::{Lifecycle, LifecycleBuilder, Outcome, Phase, TrackedListener};
use tracing::Level;

use super::common::{Client, eventually, quiet_builder, within};
use super::instance::{Instance, SERVERS};
use crate::support::log::Log;

fn brief() -> LifecycleBuilder {
    quiet_builder().settle(Duration::ZERO)
}

/// What is logged of a listener when `server` is all there is, and where it listened.
async fn warnings<S>(server: impl FnOnce(&Lifecycle, TrackedListener) -> S) -> Vec<String>
where
    S: Future<Output = ()> + Send + 'static,
{
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lifecycle = brief().build().unwrap();
    let handle = lifecycle.handle();
    let listener = lifecycle.tcp_listener(tcp);
    let address = listener.local_addr();
    let server = server(&lifecycle, listener);
    let run = tokio::spawn(lifecycle.run(server));
    handle.watch().reached(Phase::Ready).await;
    assert_eq!(lines(&log, address), [""; 0]);
    handle.shutdown();
    let report = within("the run", run).await.unwrap();
    assert_eq!(report.outcome, Outcome::Clean, "{report:?}");
    lines(&log, address)
}

fn lines(log: &Log, address: SocketAddr) -> Vec<String> {
    let address = address.to_string();
    let text = log.text();
    let of_it = text.lines().filter(|line| line.contains(&address));
    of_it.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_listener_that_nobody_is_in_accept_of_is_named() {
    let warned = warnings(|lifecycle, listener| {
        let stop = lifecycle.stop_accepting();
        async move {
            let _listener = listener;
            stop.await;
        }
    })
    .await;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("Call accept() until"), "{warned:?}");
}

#[tokio::test]
async fn a_listener_that_is_dropped_before_the_settle_is_over_is_named() {
    // As by a server that hears the signal itself.
    let warned = warnings(|lifecycle, listener| {
        let settling = lifecycle.watch().reached(Phase::Settling);
        let stop = lifecycle.stop_accepting();
        async move {
            settling.await;
            drop(listener);
            stop.await;
        }
    })
    .await;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("by stop_accepting()"), "{warned:?}");
}

#[tokio::test]
async fn a_server_that_does_as_it_should_is_not_warned_of() {
    for server in SERVERS {
        let (log, _guard) = Log::of_this_thread(Level::WARN);
        let instance = Instance::start(server, brief()).await;
        let address = instance.address;
        // All of the time that a listener has is used up, by another one's silent client.
        let _silent = Client::connect(address).await;
        let handle = instance.handle.clone();
        let mut served = Client::connect(address).await;
        assert!(served.get("/").await.0.starts_with("http/1.1 200"));
        handle.shutdown();
        assert_eq!(instance.report().await.outcome, Outcome::Clean);
        assert_eq!(lines(&log, address), [""; 0], "{server:?}");
    }
}

/// Its accept loop runs beside the server, so it hears of the settle's end a moment later.
#[tokio::test]
async fn a_drain_that_leaves_a_listener_no_time_is_no_warning() {
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let [grace, hooks] = [20_000, 19_000].map(Duration::from_millis);
    let builder = brief().grace(grace).hook_time(hooks);
    let lifecycle = builder.build().unwrap();
    assert_eq!(lifecycle.budget().drain(), Duration::ZERO);
    let mut listener = lifecycle.tcp_listener(tcp);
    let accepting = tokio::spawn(async move { while listener.accept().await.is_some() {} });
    let handle = lifecycle.handle();
    handle.shutdown();
    within("the run", lifecycle.run(handle.stop_accepting())).await;
    within("the accept loop", accepting).await.unwrap();
    assert!(!log.text().contains("accept()"), "{}", log.text());
}

/// A listener that was never served has no clients who were told to come.
#[tokio::test]
async fn a_listener_that_is_dropped_before_the_start_or_after_the_end_is_no_warning() {
    let (log, _guard) = Log::of_this_thread(Level::WARN);
    let lifecycle = brief().build().unwrap();
    let mut listeners = Vec::new();
    for _ in 0..2 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listeners.push(lifecycle.tcp_listener(tcp));
    }
    drop(listeners.pop());
    let handle = lifecycle.handle();
    let mut listener = listeners.pop().unwrap();
    let accepting = tokio::spawn(async move { while listener.accept().await.is_some() {} });
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    let ready = async || handle.phase() == Phase::Ready;
    eventually("it is ready", ready).await;
    handle.shutdown();
    within("the accept loop", accepting).await.unwrap();
    within("the run", run).await.unwrap();
    // One that was told to end before it was ready.
    let never_ready = brief().build().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = never_ready.tcp_listener(tcp);
    never_ready.handle().shutdown();
    drop(listener);
    assert_eq!(log.text(), "");
}
