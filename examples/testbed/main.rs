//! One instance of a service that wears every layer: what the end-to-end tests start.
//!
//! Configuration comes from the environment alone; `config.rs` lists it. This is a fixture: to
//! see how the crate is used, read `examples/axum.rs` or `examples/hyper.rs`.

mod config;
mod locks;
mod logins;
#[cfg(feature = "metrics")]
mod metrics;
mod once;
mod serve;
mod sessions;
mod slow;
mod sockets;
mod status;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Mutex;

use axum::Router;
use axum::routing::any_service;
use bytes::Bytes;
use http::StatusCode;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_handoff::once::OnceStore;
use tower_handoff::session::SessionStore;
use tower_handoff::{ConfigError, Lifecycle, MemoryOnce, MemorySessions, SessionLayer};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Level;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};

use crate::config::{Config, Wrong};

#[tokio::main]
async fn main() -> ExitCode {
    let end = match log() {
        Ok(()) => run().await,
        Err(stop) => Err(stop),
    };
    match end {
        Ok(code) => code,
        Err(Stop { code, line }) => {
            eprintln!("{line}");
            ExitCode::from(code)
        }
    }
}

/// The end before the start: an exit code and one line for stderr.
struct Stop {
    code: u8,
    line: String,
}

impl From<Wrong> for Stop {
    fn from(wrong: Wrong) -> Self {
        Self {
            code: 2,
            line: wrong.to_string(),
        }
    }
}

/// INFO to stderr, and everything to the file that `TRACE_FILE` names.
fn log() -> Result<(), Stop> {
    let stderr = io::stderr.with_max_level(Level::INFO);
    let path = std::env::var_os("TRACE_FILE").filter(|path| !path.is_empty());
    let (level, writer) = match path {
        None => (Level::INFO, BoxMakeWriter::new(stderr)),
        Some(path) => {
            let file = File::create(&path).map_err(|error| Stop {
                code: 2,
                line: format!("TRACE_FILE is {path:?}, {error}; accepted: a file to write to"),
            })?;
            (
                Level::TRACE,
                BoxMakeWriter::new(stderr.and(Mutex::new(file))),
            )
        }
    };
    tracing_subscriber::fmt()
        .with_writer(writer)
        // Whoever collects the logs may go away first; the requests must not go with him.
        .log_internal_errors(false)
        .with_max_level(level)
        .init();
    Ok(())
}

async fn run() -> Result<ExitCode, Stop> {
    // What is no UTF-8 is no valid value either, and is refused as such.
    let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    let config = Config::read(variable)?;
    #[cfg(feature = "metrics")]
    let prometheus = metrics::install().map_err(|error| Stop {
        code: 1,
        line: format!("no metrics: {error}"),
    })?;
    let redis = config.redis()?;
    let lifecycle = config.lifecycle(redis.clone())?;
    let (app, held) = match &redis {
        Some(redis) => {
            let app = app(redis.sessions(), &redis.once(), &config, &lifecycle)?;
            (app, redis.locks().held())
        }
        None => {
            let once = MemoryOnce::new();
            let app = app(MemorySessions::new(), &once, &config, &lifecycle)?;
            (app, once.locks().held())
        }
    };
    let status = status::Status {
        lifecycle: lifecycle.handle(),
        redis,
        held,
    };
    let app = app
        .merge(lifecycle.probes().with_details(true))
        .merge(status::routes(status))
        // Anybody may stop a testbed.
        .route("/pre-stop", any_service(lifecycle.pre_stop()));
    #[cfg(feature = "metrics")]
    let app = app.merge(metrics::routes(prometheus, lifecycle.handle()));

    let tcp = bind(config.listen).await?;
    if let Some(addr) = config.probe_listen {
        let tcp = bind(addr).await?;
        announce("probes on", &tcp.local_addr());
        lifecycle.serve_probes(tcp);
    }
    let report = serve::serve(lifecycle, config.server, tcp, app).await;
    print(&serde_json::to_string(&report).unwrap_or_else(|error| error.to_string()));
    Ok(report.exit_code())
}

fn app(
    sessions: impl SessionStore,
    once: &(impl OnceStore<Locks: Clone> + Clone),
    config: &Config,
    lifecycle: &Lifecycle,
) -> Result<Router, Stop> {
    let wrong = |variable| move |error: ConfigError| Wrong::refused(variable, &error);
    let session = SessionLayer::new(sessions)
        .with_cookie(config.cookie())
        .with_expiry(config.expiry()?)
        .with_limits(config.limits()?)
        // A write that came too late for its session: the client hears of it.
        .with_on_gone(|_| {
            let mut response = http::Response::new(Bytes::from_static(b"the session is gone"));
            *response.status_mut() = StatusCode::CONFLICT;
            Some(response)
        });
    let instance = lifecycle.instance_id().to_owned();
    let locks =
        locks::routes(&once.locks(), config, instance.clone()).map_err(wrong("LEASE_MS"))?;
    let once = once::routes(once.clone(), config, instance).map_err(wrong("LEASE_MS"))?;
    Ok(Router::new()
        .merge(sessions::routes())
        .merge(logins::routes())
        .merge(slow::routes(lifecycle.handle()))
        .merge(sockets::routes(lifecycle.handle()))
        .merge(locks)
        .merge(once)
        .layer(
            ServiceBuilder::new()
                .layer(lifecycle.layer())
                .layer(CatchPanicLayer::new())
                .layer(session),
        ))
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(addr).await.map_err(|error| Stop {
        code: 1,
        line: format!("cannot listen on {addr}: {error}"),
    })
}

fn announce(what: &str, addr: &io::Result<SocketAddr>) {
    if let Ok(addr) = addr {
        print(&format_args!("{what} http://{addr}"));
    }
}

/// One line; whoever reads it waits for it, so it leaves at once. Nobody may be left to read it.
fn print(line: &dyn fmt::Display) {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
