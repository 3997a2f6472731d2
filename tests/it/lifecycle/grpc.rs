//! gRPC: calls of tonic's client through a whole drain, behind `axum::serve` and tonic's own server.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower_handoff::lifecycle::{Outcome, Phase, Stage};

use super::common::{eventually, quiet_builder, within};
use super::grpc_servers::{Grpc, check, client, start, tell};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_served_while_ready_and_unavailable_while_draining() {
    for server in Grpc::ALL {
        let (_, health) = tonic_health::server::health_reporter();
        let instance = start(server, quiet_builder(), health).await;
        let handle = instance.handle.clone();
        let mut client = client(instance.address).await;
        let served = within("a call", check(&mut client, "")).await.unwrap();
        assert_eq!(served, i32::from(ServingStatus::Serving));
        eventually("the call has ended", async || handle.in_flight().is_idle()).await;

        let held = handle.in_flight().token();
        handle.shutdown();
        handle.watch().reached(Phase::Draining).await;
        // 503 is what gRPC takes for "try elsewhere".
        let refused = within("a call", check(&mut client, "")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        drop(held);
        let report = instance.report().await;
        let counts = (report.outcome, report.completed, report.rejected);
        assert_eq!(counts, (Outcome::Clean, 1, 1), "{server:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_answers_is_in_flight_until_its_client_lets_go() {
    for server in Grpc::ALL {
        let (reporter, health) = tonic_health::server::health_reporter();
        let instance = start(server, quiet_builder(), health).await;
        let handle = instance.handle.clone();
        let mut client = client(instance.address).await;
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
        let gone = tonic_health::ServingStatus::NotServing;
        reporter.set_service_status("", gone).await;
        let next = within("what happens meanwhile", answers.message()).await;
        let next = next.unwrap().unwrap().status;
        assert_eq!(next, i32::from(ServingStatus::NotServing));
        drop(answers);
        let report = instance.report().await;
        assert_eq!(report.outcome, Outcome::Clean, "{server:?} {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_the_health_hears_of_the_settle_and_is_let_go_when_draining_begins() {
    for server in Grpc::ALL {
        let (reporter, health) = tonic_health::server::health_reporter();
        let builder = quiet_builder()
            .grace(MINUTE)
            .settle(Duration::from_millis(200));
        let instance = start(server, builder, health).await;
        let handle = instance.handle.clone();
        handle.spawn("health", tell(handle.watch(), reporter));
        let mut client = client(instance.address).await;
        let watching = client.watch(HealthCheckRequest::default());
        let mut answers = within("a stream", watching).await.unwrap().into_inner();
        let mut next = async || {
            let next = within("an answer", answers.message()).await.unwrap();
            next.map(|answer| answer.status)
        };
        let (up, down) = (ServingStatus::Serving, ServingStatus::NotServing);
        // It may have asked before the reporter was told.
        while next().await.expect("an answer") != i32::from(up) {}
        handle.shutdown();
        let mut last = next().await;
        while last == Some(i32::from(up)) {
            last = next().await;
        }
        assert_eq!(last, Some(i32::from(down)), "{server:?}");
        assert_eq!(next().await, None, "{server:?}");
        let report = instance.report().await;
        assert_eq!(report.outcome, Outcome::Clean, "{server:?} {report:?}");
    }
}

/// Answers when it is told to; a stream gives one answer at once, and then the others.
struct Held(watch::Receiver<bool>);

const ANSWERS: i32 = 100;

impl Held {
    fn go(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut told = self.0.clone();
        async move {
            told.wait_for(|go| *go).await.unwrap();
        }
    }
}

#[tonic::async_trait]
impl Health for Held {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.go().await;
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let go = self.go();
        let answers = stream::unfold((0, Some(go)), |(number, mut go)| async move {
            if number == ANSWERS {
                return None;
            }
            if number > 0
                && let Some(go) = go.take()
            {
                go.await;
            }
            let answer = HealthCheckResponse { status: number };
            Some((Ok(answer), (number + 1, go)))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_and_streams_that_are_under_way_come_to_their_end_and_late_ones_are_unavailable() {
    const CALLS: usize = 20;
    const STREAMS: usize = 5;
    const LATE: usize = 10;
    for server in Grpc::ALL {
        let (go, told) = watch::channel(false);
        let health = HealthServer::new(Held(told));
        let instance = start(server, quiet_builder(), health).await;
        let handle = instance.handle.clone();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(client(instance.address).await);
        }
        let of = |number: usize| clients[number % clients.len()].clone();
        let calls: Vec<_> = (0..CALLS)
            .map(|number| {
                let mut client = of(number);
                tokio::spawn(async move { check(&mut client, "").await })
            })
            .collect();
        let mut streams = Vec::new();
        for number in 0..STREAMS {
            let mut client = of(number);
            let watching = client.watch(HealthCheckRequest::default());
            let mut answers = within("a stream", watching).await.unwrap().into_inner();
            let first = within("its first answer", answers.message()).await.unwrap();
            assert_eq!(first.unwrap().status, 0);
            streams.push(answers);
        }
        let all = (CALLS + STREAMS) as u64;
        let in_flight = handle.in_flight();
        eventually("all are under way", async || in_flight.count() == all).await;

        handle.shutdown();
        handle.watch().reached(Phase::Draining).await;
        for number in 0..LATE {
            let mut client = of(number);
            let refused = if number % 2 == 0 {
                within("a call", check(&mut client, "")).await.map(drop)
            } else {
                // A stream is told where its first answer would be.
                let watching = client.watch(HealthCheckRequest::default());
                let mut answers = within("a stream", watching).await.unwrap().into_inner();
                within("an answer", answers.message()).await.map(drop)
            };
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{server:?} {refused:?}");
        }
        go.send(true).unwrap();
        for call in calls {
            assert_eq!(within("a call", call).await.unwrap().unwrap(), 1);
        }
        for mut answers in streams {
            for number in 1..ANSWERS {
                let answer = within("an answer", answers.message()).await.unwrap();
                assert_eq!(answer.unwrap().status, number);
            }
            let end = within("the end", answers.message()).await.unwrap();
            assert!(end.is_none(), "{end:?}");
        }
        let report = instance.report().await;
        assert_eq!(
            (report.outcome, report.completed, report.rejected),
            (Outcome::Clean, all, LATE as u64),
            "{server:?} {report:?}"
        );
    }
}
