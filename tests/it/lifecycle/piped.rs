//! A connection over a pipe, and the bytes of HTTP/2 that go over it.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tower::{Layer, service_fn};
use tower_handoff::lifecycle::Lifecycle;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The head of `GET /`, from HPACK's static table, on stream 1, and its end.
pub(crate) const GET: &[u8] = &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86];

/// Has hyper serve it, behind the lifecycle's layers. Nobody tells it to end.
pub(crate) fn serve<H, F>(lifecycle: &Lifecycle, ours: DuplexStream, handler: H) -> JoinHandle<()>
where
    H: FnMut(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let service = lifecycle.layer().layer(service_fn(handler));
    let ours = TokioIo::new(lifecycle.wrap_io(ours, None));
    tokio::spawn(async move {
        let builder = Builder::new(TokioExecutor::new());
        let service = TowerToHyperService::new(service);
        let _ = builder.serve_connection(ours, service).await;
    })
}

pub(crate) async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from("hello"))))
}
