//! One instance with all four layers. `cargo run --example axum`, then try what it prints.
//!
//! In memory unless `REDIS_URL` is set. Over plain http on localhost not every browser keeps
//! `Secure` cookies, so this example uses a plain one; that gives up protection against whoever
//! can read or write the network. A real service leaves `with_cookie` out and gets `__Host-`.

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::Html;
use axum::routing::{get, post};
use tower::ServiceBuilder;
use tower_handoff::lock::LockGuard;
use tower_handoff::session::{Session, SessionCookie, SessionError};
use tower_handoff::{
    BoxError, Lifecycle, LockLayer, MemoryLocks, MemorySessions, Platform, RedisHandle,
    SessionLayer, key,
};

async fn home(session: Session) -> Result<Html<String>, SessionError> {
    let visits = session.increment("visits", 1).await?;
    Ok(Html(format!(
        "<p>Visit {visits}.</p>\
         <form method=post action=/orders/7/pay><button>Pay order 7 (2 s, one at a time)</button></form>\
         <form method=post action=/logout><button>Log out</button></form>"
    )))
}

async fn pay(lock: LockGuard, Path(id): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_secs(2)).await;
    format!("order {id} paid under fence {}\n", lock.fence())
}

async fn logout(session: Session) -> Result<&'static str, SessionError> {
    session.destroy().await?;
    Ok("logged out\n")
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    tracing_subscriber::fmt().init();
    let builder = Lifecycle::builder().platform(Platform::detect());
    let order = key::path("order:{id}");
    let (lifecycle, session, lock) = if let Ok(url) = std::env::var("REDIS_URL") {
        let redis = RedisHandle::connect(&url)?;
        let lock = LockLayer::new(redis.locks(), order);
        let session = SessionLayer::new(redis.sessions());
        (builder.manage(redis).build()?, session, lock)
    } else {
        let lock = LockLayer::new(MemoryLocks::new(), order);
        let session = SessionLayer::new(MemorySessions::new());
        (builder.build()?, session, lock)
    };
    let session = session.with_cookie(SessionCookie::insecure_localhost());
    let app = Router::new()
        .route("/", get(home))
        .route("/logout", post(logout))
        .route("/orders/{id}/pay", post(pay).layer(lock))
        .layer(
            ServiceBuilder::new()
                .layer(lifecycle.layer())
                .layer(session),
        )
        .merge(lifecycle.probes());

    let tcp = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("http://localhost:3000 counts your visits. Also try:");
    println!("  curl -X POST localhost:3000/orders/7/pay   (twice at once: one after the other)");
    println!("  curl localhost:3000/ready");
    println!("  Ctrl-C while a payment runs: it completes, then the report follows.");
    let server = axum::serve(lifecycle.listener(tcp), app)
        .with_graceful_shutdown(lifecycle.stop_accepting());
    let report = lifecycle.run(server).await;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.exit_code())
}
