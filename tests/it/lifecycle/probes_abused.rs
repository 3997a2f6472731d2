//! What strangers send to a socket of probes: each gets an answer, and the next one its own.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::common::{Client, quiet_builder, within};

#[tokio::test(flavor = "multi_thread")]
async fn odd_methods_huge_heads_and_long_queries_are_answered() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let lifecycle = quiet_builder().build().unwrap();
    let _probes = lifecycle.serve_probes(tcp);
    let rest = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let long = "x".repeat(8 << 10);
    let huge = "x".repeat(1 << 20);
    let many = "x: x\r\n".repeat(1000);
    for (request, status) in [
        (format!("PROPFIND /ready {rest}\r\n"), "405"),
        (format!("x-brew!~'* /health {rest}\r\n"), "405"),
        (format!("{long} /health {rest}\r\n"), "405"),
        (format!("GET /health?{long} {rest}\r\n"), "200"),
        (format!("HEAD /health?a=/ready&%00 {rest}\r\n"), "200"),
        (format!("GET /{long} {rest}\r\n"), "404"),
        (format!("GET http://x/health {rest}\r\n"), "200"),
        (format!("GET /health {rest}x: {long}\r\n\r\n"), "200"),
        (format!("GET /{huge} {rest}\r\n"), "431"),
        (format!("GET /health {rest}x: {huge}\r\n\r\n"), "431"),
        (format!("GET /health {rest}{many}\r\n"), "431"),
        (format!("GET /{} {rest}\r\n", &huge[..80 << 10]), "414"),
        ("\0\0\0\r\n\r\n".to_owned(), "400"),
    ] {
        let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
        let begin = request[..request.len().min(40)].to_owned();
        // It may be answered, and closed, before all of it is sent.
        let sending = tokio::spawn(async move {
            let _ = writer.write_all(request.as_bytes()).await;
            writer
        });
        let mut answer = [0; 12];
        let read = within("an answer", reader.read_exact(&mut answer)).await;
        read.unwrap_or_else(|error| panic!("{begin:?}: {error}"));
        let expected = format!("HTTP/1.1 {status}");
        assert_eq!(String::from_utf8_lossy(&answer), expected, "{begin:?}");
        // A side that is closed would be taken for a client that went away.
        drop(sending.await.unwrap());
        let mut next = Client::connect(address).await;
        assert!(next.get("/health").await.0.starts_with("http/1.1 200"));
    }
    assert_eq!(lifecycle.in_flight().count(), 0);
}
