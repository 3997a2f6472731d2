//! A gRPC service on the servers there are for it.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower_handoff::lifecycle::{LifecycleBuilder, LifecycleHandle, Phase, Report};

use super::common::within;

/// As it stands there, so that it is what is tested.
#[path = "../../../examples/tonic.rs"]
#[allow(dead_code, reason = "an example has a main")]
mod example;
pub(crate) use example::tell;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grpc {
    /// `axum::serve` with tonic's routes.
    Axum,
    Tonic,
}

impl Grpc {
    pub(crate) const ALL: [Self; 2] = [Self::Axum, Self::Tonic];
}

pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    pub(crate) handle: LifecycleHandle,
    pub(crate) run: JoinHandle<Report>,
}

impl Instance {
    pub(crate) async fn report(self) -> Report {
        within("the run", self.run).await.unwrap()
    }
}

pub(crate) async fn start(
    server: Grpc,
    builder: LifecycleBuilder,
    health: HealthServer<impl Health>,
) -> Instance {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = builder.build().unwrap();
    let handle = lifecycle.handle();
    let routes = Routes::new(health);
    let run = match server {
        Grpc::Axum => {
            let app = routes.into_axum_router().layer(lifecycle.layer());
            let server = axum::serve(lifecycle.listener(tcp), app)
                .with_graceful_shutdown(lifecycle.stop_accepting());
            tokio::spawn(lifecycle.run(server))
        }
        Grpc::Tonic => tokio::spawn(example::serve(lifecycle, tcp, routes)),
    };
    handle.watch().reached(Phase::Ready).await;
    Instance {
        address,
        handle,
        run,
    }
}

pub(crate) async fn client(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

/// One call, as tonic's client sees its end.
pub(crate) async fn check(
    client: &mut HealthClient<Channel>,
    service: &str,
) -> Result<i32, Status> {
    let service = service.to_owned();
    let answer = client.check(HealthCheckRequest { service }).await?;
    Ok(answer.into_inner().status)
}
