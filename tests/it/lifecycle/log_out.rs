//! What is carried out after its client has gone is done when the instance has ended.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower::ServiceBuilder;
use tower_handoff::lifecycle::{Lifecycle, Outcome, Phase};
use tower_handoff::session::{Session, SessionCookie, SessionLayer};

use super::common::{eventually, quiet_builder, within};
use crate::support::http::Client;
use crate::support::patient::patient;
use crate::support::proxy::Proxy;
use crate::support::redis_server::RedisServer;

/// How late each answer of Redis is.
const LATE: Duration = Duration::from_millis(300);

/// A log-out reads the session and deletes it then: its client has gone by the first answer, and nothing
/// but the connection is managed.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_out_whose_client_has_gone_has_happened_when_the_connection_closes() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await;
    proxy.slow_down(LATE);
    let redis = patient(&proxy.url());
    eventually("Redis is asked what it is", async || {
        redis.ping().await.is_ok()
    })
    .await;
    let sessions =
        SessionLayer::new(redis.sessions()).with_cookie(SessionCookie::insecure_localhost());
    let lifecycle = quiet_builder().grace(Duration::from_secs(120));
    let lifecycle = lifecycle.manage(redis).build().unwrap();
    let handle = lifecycle.handle();

    let log_in = async |session: Session| session.set("user", "ada").unwrap();
    let begun = Arc::new(Notify::new());
    let log_out = async |State(begun): State<Arc<Notify>>, session: Session| {
        begun.notify_one();
        session.destroy().await.unwrap();
    };
    let app = Router::new()
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .with_state(begun.clone())
        .layer(
            ServiceBuilder::new()
                .layer(lifecycle.layer())
                .layer(sessions),
        );
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::new(&tcp.local_addr().unwrap().to_string());
    let run = serve(lifecycle, tcp, app);
    within("the start", handle.watch().reached(Phase::Ready)).await;

    assert_eq!(client.post("/login").await.status, 200);
    assert_eq!(kept(&server), 1);
    let logging_out = tokio::spawn(async move { client.try_send("POST", "/logout", None).await });
    within("the handler", begun.notified()).await;
    logging_out.abort();
    let in_flight = handle.in_flight();
    eventually("nobody waits for it", async || in_flight.is_idle()).await;
    handle.shutdown();
    let report = within("the run", run).await.unwrap();
    assert_eq!(report.outcome, Outcome::Clean, "{report:?}");
    assert_eq!(kept(&server), 0, "nobody is logged in");
}

fn serve(
    lifecycle: Lifecycle,
    tcp: TcpListener,
    app: Router,
) -> tokio::task::JoinHandle<tower_handoff::lifecycle::Report> {
    let server = axum::serve(lifecycle.listener(tcp), app)
        .with_graceful_shutdown(lifecycle.stop_accepting());
    tokio::spawn(lifecycle.run(server))
}

/// How many sessions there are.
fn kept(server: &RedisServer) -> usize {
    match server.command(&["KEYS", "*:s1:*"]) {
        redis::Value::Array(keys) => keys.len(),
        other => panic!("{other:?}"),
    }
}
