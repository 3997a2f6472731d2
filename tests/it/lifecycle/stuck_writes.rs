//! Who reads nothing, or not yet, holds no drain once it has nothing under way.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tower_handoff::lifecycle::{Outcome, ServerOutcome, Stage};

use super::common::{quiet_builder, within};

/// Longer than a test is waited for.
const LONG: Duration = Duration::from_secs(3600);

/// As TLS does: it takes what is written, and has it on its way for a while.
struct Flushes {
    io: DuplexStream,
    on_its_way: Arc<AtomicBool>,
}

impl AsyncRead for Flushes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Flushes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.on_its_way.swap(false, SeqCst) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_head_that_came_while_an_answer_went_out_is_half_a_head() {
    let lifecycle = quiet_builder().grace(LONG).build().unwrap();
    let handle = lifecycle.handle();
    let (mut theirs, io) = duplex(1 << 16);
    let on_its_way = Arc::<AtomicBool>::default();
    let io = Flushes {
        io,
        on_its_way: on_its_way.clone(),
    };
    let mut stream = handle.wrap_io(io, None);
    let head = b"GET / HTTP/1.1\r\n\r\n";
    theirs.write_all(head).await.unwrap();
    stream.read_exact(&mut [0; 18]).await.unwrap();
    stream.flush().await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
    on_its_way.store(true, SeqCst);
    assert!(stream.flush().now_or_never().is_none());
    let stage = || handle.status().connections.first().map(|one| one.stage);
    assert_eq!(stage(), Some(Stage::Unsent));
    theirs.write_all(b"G").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'G');
    assert!(stream.read_u8().now_or_never().is_none());
    assert_eq!(stage(), Some(Stage::Unsent), "the answer is not out");
    stream.flush().await.unwrap();
    assert_eq!(stage(), Some(Stage::Head));
    handle.shutdown();
    let server = async move { stream.read_u8().await.map(|_| ()) };
    let report = within("the run", lifecycle.run(server)).await;
    assert_eq!(report.outcome, Outcome::Clean, "{report:?}");
    assert_eq!(report.unfinished_heads.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn http2_that_asks_for_nothing_and_reads_nothing_is_given_up() {
    const BEGINS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0any eight";
    let lifecycle = quiet_builder().grace(LONG).build().unwrap();
    let handle = lifecycle.handle();
    let (mut theirs, ours) = duplex(64);
    let ours = TokioIo::new(handle.wrap_io(ours, None));
    let service = service_fn(|_: Request<Incoming>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let server = async move {
        let builder = http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(ours, service).await;
    };
    let run = tokio::spawn(lifecycle.run(server));
    theirs.write_all(BEGINS).await.unwrap();
    // Until the server, which cannot answer, reads no more.
    let pings = async { while theirs.write_all(&PING[..17]).await.is_ok() {} };
    let stuck = tokio::time::timeout(Duration::from_secs(1), pings).await;
    assert!(stuck.is_err());
    handle.shutdown();
    let report = within("the run", run).await.unwrap();
    let ended = (report.outcome, &report.server);
    assert_eq!(ended, (Outcome::Clean, &ServerOutcome::Done), "{report:?}");
    drop(theirs);
}
