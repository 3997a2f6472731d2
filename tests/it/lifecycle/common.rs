//! Bodies, clients and parts that do what a test tells them.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tower_handoff::lifecycle::{Lifecycle, LifecycleBuilder, PlatformKind};

/// A body that yields what is sent to it, and ends when the sender is dropped.
pub(crate) fn channel_body() -> (
    mpsc::UnboundedSender<Result<Bytes, &'static str>>,
    ChannelBody,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, ChannelBody(receiver))
}

pub(crate) struct ChannelBody(mpsc::UnboundedReceiver<Result<Bytes, &'static str>>);

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let polled = self.0.poll_recv(cx);
        polled.map(|item| item.map(|data| data.map(Frame::data)))
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    pub(crate) fn read(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A lifecycle of 10 s grace that hears no signals.
pub(crate) fn quiet_builder() -> LifecycleBuilder {
    Lifecycle::builder()
        .platform(PlatformKind::Unknown)
        .signals(false)
}

pub(crate) fn request() -> Request<()> {
    Request::new(())
}

pub(crate) async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from("hello"))))
}

/// Waits until `condition` holds; panics when it does not within 20 s.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..4000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}

/// Ends with a panic what would otherwise hang a test.
pub(crate) async fn within<F: Future>(what: &str, work: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(30), work).await {
        Ok(output) => output,
        Err(_) => panic!("did not end: {what}"),
    }
}

/// A client of HTTP/1.1 that keeps its connection and sees every byte.
pub(crate) struct Client {
    pub(crate) tcp: TcpStream,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self {
            tcp: TcpStream::connect(address).await.unwrap(),
        }
    }

    pub(crate) async fn send(&mut self, path: &str) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.tcp.write_all(head.as_bytes()).await.unwrap();
    }

    /// One answer: its head in lower case, and its body by Content-Length. Both empty when the
    /// server closed the connection instead.
    pub(crate) async fn answer(&mut self) -> (String, Vec<u8>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.tcp.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return (String::new(), Vec::new()),
            }
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.tcp.read_exact(&mut body).await.unwrap();
        (head, body)
    }

    pub(crate) async fn get(&mut self, path: &str) -> (String, Vec<u8>) {
        self.send(path).await;
        self.answer().await
    }
}

/// A process of this binary's own that runs one of its ignored tests, and nothing else.
pub(crate) fn own_test(module: &str, test: &str) -> std::process::Command {
    let (_binary, module) = module.split_once("::").unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::{test}"), "--ignored"]);
    command
}
