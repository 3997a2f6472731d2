//! The proxy's black hole keeps what fell into it until it is told otherwise.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::eventually::{PATIENCE, eventually};
use super::proxy::Proxy;

#[tokio::test]
async fn what_fell_into_the_hole_is_closed_and_nothing_else_is() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = Proxy::start(server.local_addr().expect("bound").port()).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = server.accept().await {
            tokio::spawn(async move {
                let (mut hears, mut says) = stream.split();
                copy(&mut hears, &mut says).await
            });
        }
    });
    let connect = async || {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).await;
        stream.expect("it listens")
    };
    let echoes = async |stream: &mut TcpStream| {
        stream.write_all(b"x").await.expect("open");
        let read = timeout(PATIENCE, stream.read(&mut [0; 1])).await;
        assert_eq!(read.expect("an answer").expect("open"), 1);
    };
    // Those who can run do so before the thread sleeps.
    let turns = || tokio::time::sleep(Duration::from_millis(1));
    let mut before = connect().await;
    echoes(&mut before).await;
    proxy.black_hole(true);
    let within = connect().await;
    eventually("it is accepted", async || proxy.accepted() == 2).await;
    turns().await;
    proxy.black_hole(false);
    let mut after = connect().await;
    echoes(&mut after).await;
    proxy.clear_hole();
    for mut lost in [before, within] {
        let end = timeout(PATIENCE, lost.read(&mut [0; 1])).await;
        assert!(matches!(end.expect("closed"), Ok(0) | Err(_)));
    }
    echoes(&mut after).await;
}
