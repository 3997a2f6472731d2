//! A small HTTP client: one keep-alive connection, a cookie jar.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::evidence;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A test that waits this long for an answer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A client of one address.
pub(crate) struct Client {
    addr: String,
    version: Version,
    connection: Option<Connection>,
    /// What the server set; sent with every request.
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Client {
    pub(crate) fn new(addr: &str) -> Self {
        Self {
            addr: addr.to_owned(),
            version: Version::HTTP_11,
            connection: None,
            cookies: BTreeMap::new(),
        }
    }

    /// A client that speaks HTTP/2 without TLS from the first byte.
    pub(crate) fn http2(addr: &str) -> Self {
        Self {
            version: Version::HTTP_2,
            ..Self::new(addr)
        }
    }

    /// The same visitor at another instance.
    pub(crate) fn at(&self, addr: &str) -> Self {
        Self {
            cookies: self.cookies.clone(),
            ..Self::new(addr)
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str) -> Answer {
        self.send("POST", path, None).await
    }

    pub(crate) async fn put(&mut self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, Some(body)).await
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.try_send(method, path, body)
            .await
            .unwrap_or_else(|e| panic!("{method} {path} at {}: {e}", self.addr))
    }

    /// As [`send`](Self::send), where no answer is an expected outcome.
    pub(crate) async fn try_send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, Error> {
        self.exchange(method, path, body, &[]).await
    }

    /// As [`try_send`](Self::try_send), with headers of the test's own.
    pub(crate) async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        headers: &[(&str, &[u8])],
    ) -> Result<Answer, Error> {
        timeout(PATIENCE, self.exchange_inner(method, path, body, headers)).await?
    }

    async fn exchange_inner(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        headers: &[(&str, &[u8])],
    ) -> Result<Answer, Error> {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes())?);
        request = match self.version {
            Version::HTTP_2 => request.uri(format!("http://{}{path}", self.addr)),
            _ => request.uri(path).header(header::HOST, &self.addr),
        };
        if !self.cookies.is_empty() {
            let cookies: Vec<_> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or("").to_owned())))?;
        let asked = request.headers().clone();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let sent = match &mut connection {
            Connection::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Connection::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        };
        let (parts, body) = sent?.into_parts();
        evidence::answer(&asked, &parts.headers);
        let body = body.collect().await?.to_bytes();
        evidence::said(&body);
        let close = parts
            .headers
            .get(header::CONNECTION)
            .is_some_and(|value| value == "close");
        if !close {
            self.connection = Some(connection);
        }
        for value in parts.headers.get_all(header::SET_COOKIE) {
            self.remember(value.to_str()?);
        }
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }

    fn remember(&mut self, set_cookie: &str) {
        let pair = set_cookie.split(';').next().unwrap_or("");
        let Some((name, value)) = pair.split_once('=') else {
            return;
        };
        if value.is_empty() {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let stream = TokioIo::new(TcpStream::connect(&self.addr).await?);
        Ok(if self.version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Connection::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Connection::Http1(sender)
        })
    }
}
