//! A WebSocket client of a few lines: handshake, short frames.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};

pub(crate) struct WebSocket {
    tcp: TcpStream,
}

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    /// With its status code.
    Close(u16),
    /// The connection has ended.
    End,
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

impl WebSocket {
    /// Returns when the server has switched protocols.
    pub(crate) async fn open(address: impl ToSocketAddrs, path: &str) -> Self {
        let mut tcp = TcpStream::connect(address).await.expect("it listens");
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        tcp.write_all(head.as_bytes()).await.expect("a buffer");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(tcp.read_u8().await.expect("an answer"));
        }
        let answer = String::from_utf8(answer).expect("a head");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self { tcp }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(crate) fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes()).await;
    }

    /// Answers the server's close frame.
    pub(crate) async fn close(&mut self, code: u16) {
        self.send(CLOSE, &code.to_be_bytes()).await;
    }

    /// A whole frame, masked with zeros, as a client has to.
    async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("short frames only");
        assert!(length < 126, "short frames only");
        let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.tcp.write_all(&frame).await.expect("a buffer");
    }

    pub(crate) async fn frame(&mut self) -> Frame {
        let mut head = [0; 2];
        if self.tcp.read_exact(&mut head).await.is_err() {
            return Frame::End;
        }
        let mut payload = vec![0; usize::from(head[1])];
        self.tcp
            .read_exact(&mut payload)
            .await
            .expect("a whole frame");
        match head[0] & 0x0f {
            TEXT => Frame::Text(String::from_utf8(payload).expect("text")),
            CLOSE => Frame::Close(u16::from_be_bytes([payload[0], payload[1]])),
            other => panic!("opcode {other}"),
        }
    }
}
