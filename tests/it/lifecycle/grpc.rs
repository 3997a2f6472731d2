//! gRPC: a tonic service behind the layers, on `axum::serve` and a listener of the lifecycle.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower_handoff::lifecycle::{LifecycleHandle, Outcome, Phase, Report, Stage};

use super::common::{eventually, quiet_builder, within};

/// tonic's own service of health checks: one call that answers, and one that never ends.
async fn start() -> (SocketAddr, LifecycleHandle, JoinHandle<Report>) {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (_, health) = tonic_health::server::health_reporter();
    let app = Routes::new(health)
        .into_axum_router()
        .layer(lifecycle.layer());
    let server = axum::serve(lifecycle.listener(tcp), app)
        .with_graceful_shutdown(lifecycle.stop_accepting());
    let run = tokio::spawn(lifecycle.run(server));
    handle.watch().reached(Phase::Ready).await;
    (address, handle, run)
}

async fn client(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

async fn check(client: &mut HealthClient<Channel>) -> Result<i32, Status> {
    let answer = client.check(HealthCheckRequest::default()).await?;
    Ok(answer.into_inner().status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_served_while_ready_and_unavailable_while_draining() {
    let (address, handle, run) = start().await;
    let mut client = client(address).await;
    let served = within("a call", check(&mut client)).await.unwrap();
    assert_eq!(served, i32::from(ServingStatus::Serving));
    eventually("the call has ended", async || handle.in_flight().is_idle()).await;

    let held = handle.in_flight().token();
    handle.shutdown();
    handle.watch().reached(Phase::Draining).await;
    // 503 is what gRPC takes for "try elsewhere".
    let refused = within("a call", check(&mut client)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    drop(held);
    let report = within("the run", run).await.unwrap();
    let counts = (report.outcome, report.completed, report.rejected);
    assert_eq!(counts, (Outcome::Clean, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_answers_is_in_flight_until_its_client_lets_go() {
    let (address, handle, run) = start().await;
    let mut client = client(address).await;
    let watching = client.watch(HealthCheckRequest::default());
    let mut answers = within("a stream", watching).await.unwrap().into_inner();
    let first = within("its first answer", answers.message()).await.unwrap();
    assert_eq!(first.unwrap().status, i32::from(ServingStatus::Serving));
    let [stream] = &handle.status().requests[..] else {
        panic!("{:?}", handle.status());
    };
    assert_eq!(stream.stage, Stage::Body);

    handle.shutdown();
    handle.watch().reached(Phase::Draining).await;
    assert_eq!(handle.in_flight().count(), 1);
    drop(answers);
    let report = within("the run", run).await.unwrap();
    assert_eq!(report.outcome, Outcome::Clean, "{report:?}");
}
