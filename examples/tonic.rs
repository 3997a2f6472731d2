//! gRPC on tonic's own server: `cargo run --example tonic`, then ask `grpc.health.v1.Health/Watch`
//! on port 3000 and press Ctrl-C.
//!
//! Only for what tonic's server alone can be told: everything else has
//! `axum::serve(lifecycle.listener(tcp), routes.into_axum_router().layer(lifecycle.layer()))`,
//! which needs none of this.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use futures_util::stream::{self, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower_handoff::lifecycle::{Phase, PhaseWatch, Report, TrackedStream};
use tower_handoff::{BoxError, Lifecycle};

/// A connection of the lifecycle's as tonic takes it: with what its handlers may ask of it.
struct Connection(TrackedStream);

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.0.tcp().connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Serves from the first call to the last.
pub(crate) async fn serve(lifecycle: Lifecycle, tcp: TcpListener, routes: Routes) -> Report {
    let accepted = stream::unfold(lifecycle.tcp_listener(tcp), |mut listener| async {
        let (stream, _peer) = listener.accept().await?;
        Some((Ok::<_, Infallible>(Connection(stream)), listener))
    });
    // Where this ended, tonic would let go of its connections at the end of the settle. It hears
    // from the lifecycle alone, and until then late calls get UNAVAILABLE.
    let accepted = accepted.chain(stream::pending());
    let server = Server::builder()
        .layer(lifecycle.layer())
        .add_routes(routes)
        .serve_with_incoming_shutdown(accepted, lifecycle.stop_accepting());
    lifecycle.run(server).await
}

/// Says of the whole server, to who asks and who watches, what `/ready` says of the phase. When draining
/// begins the watches end: they have no end of their own, and would hold the drain to its deadline. So
/// every service that is told of by a name of its own is to be cleared there as well.
pub(crate) async fn tell(watch: PhaseWatch, mut reporter: HealthReporter) {
    let all = "";
    let (serving, not_serving) = (ServingStatus::Serving, ServingStatus::NotServing);
    reporter.set_service_status(all, not_serving).await;
    watch.reached(Phase::Ready).await;
    // A start that fails goes past it.
    if watch.current() == Phase::Ready {
        reporter.set_service_status(all, serving).await;
    }
    watch.reached(Phase::Settling).await;
    reporter.set_service_status(all, not_serving).await;
    watch.reached(Phase::Draining).await;
    reporter.clear_service_status(all).await;
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let lifecycle = Lifecycle::builder().build()?;
    let (reporter, health) = tonic_health::server::health_reporter();
    lifecycle.spawn("health", tell(lifecycle.watch(), reporter));
    let tcp = TcpListener::bind("127.0.0.1:3000").await?;
    println!("gRPC on port 3000; Ctrl-C shows the drain.");
    let report = serve(lifecycle, tcp, Routes::new(health)).await;
    println!("{}", serde_json::to_string(&report)?);
    Ok(report.exit_code())
}
