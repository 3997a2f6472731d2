//! Clients that ask again as soon as they are answered.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

pub(crate) struct Client {
    sender: SendRequest<Empty<Bytes>>,
    cookie: HeaderValue,
}

impl Client {
    /// A visitor with a session.
    pub(crate) async fn start(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("it listens");
        stream.set_nodelay(true).expect("an open socket");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1");
        tokio::spawn(connection);
        let cookie = HeaderValue::from_static("none=1");
        let mut client = Self { sender, cookie };
        let answer = client.send("/write").await;
        let cookie = answer.headers()[SET_COOKIE].to_str().expect("ASCII");
        let pair = cookie.split(';').next().expect("a pair");
        client.cookie = HeaderValue::from_str(pair).expect("a value");
        client
    }

    async fn send(&mut self, path: &str) -> http::Response<()> {
        let mut request = Request::post(path).body(Empty::new()).expect("a request");
        request.headers_mut().insert(COOKIE, self.cookie.clone());
        self.sender.ready().await.expect("keep-alive");
        let answer = self.sender.send_request(request).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        body.collect().await.expect("a whole answer");
        http::Response::from_parts(parts, ())
    }

    pub(crate) async fn ask(&mut self, path: &str) -> StatusCode {
        self.send(path).await.status()
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Until {
    Over(Duration),
    /// For each connection.
    Answers(usize),
}

/// All connections ask these again and again: milliseconds and status of each answer.
pub(crate) async fn ask(
    clients: &mut [Client],
    paths: &[&str],
    until: Until,
) -> Vec<(f64, StatusCode)> {
    let begun = Instant::now();
    let asked = clients.iter_mut().map(async |client| {
        let mut times = Vec::new();
        for path in paths.iter().cycle() {
            let is_over = match until {
                Until::Over(time) => begun.elapsed() >= time,
                Until::Answers(count) => times.len() >= count,
            };
            if is_over {
                break;
            }
            let begun = Instant::now();
            let status = client.ask(path).await;
            times.push((begun.elapsed().as_secs_f64() * 1e3, status));
        }
        times
    });
    futures_util::future::join_all(asked).await.concat()
}
