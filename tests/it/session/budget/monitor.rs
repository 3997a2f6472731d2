//! Redis's own word on what it is sent.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::redis_server::RedisServer;

/// Sees every command that reaches a server.
pub(super) struct Monitor<'a> {
    server: &'a RedisServer,
    lines: tokio::io::Lines<BufReader<TcpStream>>,
}

impl<'a> Monitor<'a> {
    pub(super) async fn start(server: &'a RedisServer) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port()))
            .await
            .unwrap();
        stream.write_all(b"MONITOR\r\n").await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("+OK"));
        Self { server, lines }
    }

    /// The names of the commands that clients sent about sessions since the last call.
    pub(super) async fn sent(&mut self) -> Vec<String> {
        self.server.command(&["ECHO", "the-end"]);
        let mut sent = Vec::new();
        loop {
            let line = self.lines.next_line().await.unwrap().unwrap();
            if line.contains("the-end") {
                return sent;
            }
            let name = line.split('"').nth(1).unwrap().to_uppercase();
            // What a script calls, and what keeps the connection itself.
            let upkeep = [
                "CLIENT",
                "HELLO",
                "PING",
                "TIME",
                "INFO",
                "SUBSCRIBE",
                "CONFIG",
            ];
            if !line.contains(" lua] ") && !upkeep.contains(&&*name) {
                sent.push(name);
            }
        }
    }
}
