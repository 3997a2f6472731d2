//! A TCP proxy that changes a word of Redis's replies into another one of the same length, for
//! servers of which there is no specimen here.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The port of a proxy that passes on to `target`, for as long as the test's runtime lives.
pub(crate) async fn retelling(target: u16, from: &'static str, to: &'static str) -> u16 {
    assert_eq!(from.len(), to.len(), "lengths are part of the protocol");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((inbound, _)) = listener.accept().await {
            tokio::spawn(carry(inbound, target, from.as_bytes(), to.as_bytes()));
        }
    });
    port
}

async fn carry(inbound: TcpStream, target: u16, from: &[u8], to: &[u8]) -> std::io::Result<()> {
    let outbound = TcpStream::connect(("127.0.0.1", target)).await?;
    let (mut from_client, mut to_client) = inbound.into_split();
    let (mut from_server, mut to_server) = outbound.into_split();
    let asked = tokio::io::copy(&mut from_client, &mut to_server);
    let told = async {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from_server.read(&mut buffer).await?;
            if read == 0 {
                return std::io::Result::Ok(());
            }
            while let Some(at) = buffer[..read]
                .windows(from.len())
                .position(|word| word == from)
            {
                buffer[at..at + to.len()].copy_from_slice(to);
            }
            to_client.write_all(&buffer[..read]).await?;
        }
    };
    tokio::select! {
        outcome = asked => outcome.map(drop),
        outcome = told => outcome,
    }
}
