//! A hyper service that turns the gate's no into HTTP/2's own: a client may send the request again,
//! whatever its method, because nothing of it was done.

use std::error::Error;

use bytes::Bytes;
use h2::Reason;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::{ServiceBuilder, service_fn};
use tower_handoff::lifecycle::{Outcome, Phase};
use tower_handoff::{Reason as Why, Refusal};

use super::common::{eventually, quiet_builder, within};

/// What the docs of the drain gate say.
fn refused<B>(answered: Result<Response<B>, h2::Error>) -> Result<Response<B>, h2::Error> {
    let response = answered?;
    match response.extensions().get::<Refusal>() {
        Some(refusal) if refusal.reason == Why::Draining => Err(Reason::REFUSED_STREAM.into()),
        _ => Ok(response),
    }
}

#[tokio::test]
async fn a_stream_that_comes_too_late_may_be_sent_again() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let app = ServiceBuilder::new()
        .map_result(refused)
        .layer(lifecycle.layer())
        .service(service_fn(async |_: Request<_>| {
            Ok::<_, h2::Error>(Response::new(Full::new(Bytes::from("hello"))))
        }));
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    tokio::spawn(async move {
        let io = TokioIo::new(tcp.accept().await.unwrap().0);
        let service = TowerToHyperService::new(app);
        Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await
    });
    let tcp = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp)
        .await
        .unwrap();
    tokio::spawn(connection);
    let run = tokio::spawn(lifecycle.run(handle.stop_accepting()));
    handle.watch().reached(Phase::Ready).await;
    let mut post = async || {
        let uri = format!("http://{address}/pay");
        let request = Request::post(uri).body(Empty::<Bytes>::new()).unwrap();
        within("an answer", client.send_request(request)).await
    };
    let body = post().await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "hello");
    let held = handle.in_flight().token();
    handle.shutdown();
    handle.watch().reached(Phase::Draining).await;
    for _ in 0..2 {
        let error = post().await.unwrap_err();
        let reset: Option<&h2::Error> = error.source().and_then(|source| source.downcast_ref());
        let reset = reset.unwrap_or_else(|| panic!("{error:?}"));
        assert!(reset.is_remote() && reset.is_reset(), "{reset:?}");
        assert_eq!(reset.reason(), Some(Reason::REFUSED_STREAM));
    }
    let in_flight = handle.in_flight();
    eventually("only the token", async || in_flight.count() == 1).await;
    drop(held);
    let report = within("the run", run).await.unwrap();
    let counts = (report.outcome, report.completed, report.rejected);
    // The token is the first.
    assert_eq!(counts, (Outcome::Clean, 1, 2));
}
