//! Who comes to a port under TLS and does not come to the end of the handshake holds no drain.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::Response;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::crypto::ring::kx_group::{SECP256R1, X25519};
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tower_handoff::lifecycle::{Outcome, Phase, ServerOutcome, Stage, TrackedListener};

use super::common::{eventually, quiet_builder, within};

/// Longer than a test is waited for.
const LONG: Duration = Duration::from_secs(3600);

/// A server's, and a client's that trusts it; and another client's, whose first guess at a key the
/// server does not take: it asks for a second hello.
fn tls() -> (TlsAcceptor, Arc<ClientConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let with_keys = |kx_groups: &[_]| {
        Arc::new(CryptoProvider {
            kx_groups: kx_groups.to_vec(),
            ..default_provider()
        })
    };
    let server = ServerConfig::builder_with_provider(with_keys(&[SECP256R1]))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key.into())
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let [client, guesses] = [[SECP256R1, X25519], [X25519, SECP256R1]].map(|groups| {
        let client = ClientConfig::builder_with_provider(with_keys(&groups))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        Arc::new(client)
    });
    (TlsAcceptor::from(Arc::new(server)), client, guesses)
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// What a client says first.
fn hello(client: &Arc<ClientConfig>) -> Vec<u8> {
    let mut hello = Vec::new();
    let mut connection = ClientConnection::new(client.clone(), localhost()).unwrap();
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// Says hello, and once more when it is asked to.
async fn says_hello_twice(tcp: &mut TcpStream, client: &Arc<ClientConfig>) {
    let mut connection = ClientConnection::new(client.clone(), localhost()).unwrap();
    for _ in 0..2 {
        let mut hello = Vec::new();
        while !connection.wants_write() {
            let mut bytes = [0; 4096];
            let asks = within("the server asks again", tcp.read(&mut bytes));
            let length = asks.await.unwrap();
            assert!(length > 0, "it has ended");
            connection.read_tls(&mut &bytes[..length]).unwrap();
            connection.process_new_packets().unwrap();
        }
        connection.write_tls(&mut hello).unwrap();
        tcp.write_all(&hello).await.unwrap();
    }
}

/// Ends when all its connections have, and answers whatever comes over them.
async fn serve(mut listener: TrackedListener, acceptor: TlsAcceptor) {
    let mut connections = JoinSet::new();
    while let Some((stream, _peer)) = listener.accept().await {
        let accepted = acceptor.accept(stream);
        connections.spawn(async move {
            if let Ok(mut stream) = accepted.await {
                answer_all(&mut stream).await;
            }
        });
    }
    while connections.join_next().await.is_some() {}
}

async fn answer_all(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    while let Ok(byte) = stream.read_u8().await {
        stream.write_u8(byte).await.unwrap();
        stream.flush().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_to_the_end_of_the_handshake_is_given_up() {
    let (acceptor, client, guesses) = tls();
    let lifecycle = quiet_builder().grace(LONG).build().unwrap();
    let handle = lifecycle.handle();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let server = serve(lifecycle.tcp_listener(tcp), acceptor);
    let run = tokio::spawn(lifecycle.run(server));
    handle.watch().reached(Phase::Ready).await;

    let hello = hello(&client);
    let (begin, rest) = hello.split_at(hello.len() / 2);
    let mut clients = Vec::new();
    for (pieces, is_named) in [
        (&[][..], false),
        (&[&hello[..1]], true),
        (&[begin], true),
        (&[&hello[..]], true),
        // As it comes where it is too large for one packet.
        (&[begin, rest], true),
    ] {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        for piece in pieces {
            tcp.write_all(piece).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        clients.push((tcp, is_named));
    }
    let mut tcp = TcpStream::connect(address).await.unwrap();
    says_hello_twice(&mut tcp, &guesses).await;
    // All that the server says to it, and it says nothing to that.
    within("the server's flight", tcp.readable()).await.unwrap();
    clients.push((tcp, true));
    let mut expected: Vec<_> = clients
        .iter()
        .filter(|(_, is_named)| *is_named)
        .map(|(tcp, _)| tcp.local_addr().ok())
        .collect();
    expected.sort();
    let shown = async || handle.status().connections.len() == expected.len();
    eventually("the handshakes", shown).await;

    // One that has come to the end of it is none of these.
    for client in [client, guesses] {
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut whole = TlsConnector::from(client)
            .connect(localhost(), tcp)
            .await
            .unwrap();
        whole.write_u8(b'x').await.unwrap();
        assert_eq!(within("an answer", whole.read_u8()).await.unwrap(), b'x');
        eventually("the handshakes", shown).await;
    }

    handle.shutdown();
    let report = within("the run", run).await.unwrap();
    assert_eq!(
        (report.outcome, &report.server, &report.aborted),
        (Outcome::Clean, &ServerOutcome::Done, &vec![]),
        "{report:?}"
    );
    let named = report.unfinished_heads.iter();
    let mut named: Vec<_> = named.map(|one| (one.peer, one.stage)).collect();
    named.sort_by_key(|(peer, _)| *peer);
    let expected: Vec<_> = expected
        .into_iter()
        .map(|peer| (peer, Stage::Handshake))
        .collect();
    assert_eq!(named, expected);
    for (tcp, _) in &mut clients {
        let end = async { while tcp.read_u8().await.is_ok() {} };
        within("the connection ends", end).await;
    }
}

/// Who reads and has no more to say than its handshake flushes never again.
#[tokio::test]
async fn what_comes_behind_a_handshake_is_none() {
    let lifecycle = quiet_builder().build().unwrap();
    let handle = lifecycle.handle();
    let (mut theirs, ours) = duplex(64);
    let mut stream = handle.wrap_io(ours, None);
    let stages = || -> Vec<_> {
        let connections = handle.status().connections;
        connections.iter().map(|one| one.stage).collect()
    };
    for says in [&b"\x16\x03 hello"[..], b"\x14\x03 finished"] {
        theirs.write_all(says).await.unwrap();
        stream.read_exact(&mut vec![0; says.len()]).await.unwrap();
        stream.write_all(b"its flight").await.unwrap();
        stream.flush().await.unwrap();
    }
    // It was there before the server looked for it.
    for _ in 0..2 {
        theirs.write_all(b"\x17").await.unwrap();
        stream.read_u8().await.unwrap();
        assert!(stream.read_u8().now_or_never().is_none());
        assert_eq!(stages(), []);
    }
    // Where it has not come to the end of it, it is one.
    let (mut theirs, ours) = duplex(64);
    let mut stream = handle.wrap_io(ours, None);
    theirs.write_all(b"\x16").await.unwrap();
    stream.read_u8().await.unwrap();
    assert!(stream.read_u8().now_or_never().is_none());
    assert_eq!(stages(), [Stage::Handshake]);
}

/// A client of HTTP/2 that says nothing, to a server that speaks nothing else: it greets first, and
/// waits for an answer to that before it would end.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_the_greeting_of_http2_is_given_up() {
    for begin in [&b""[..], b"PRI * HT"] {
        let lifecycle = quiet_builder().grace(LONG).build().unwrap();
        let handle = lifecycle.handle();
        let (mut theirs, ours) = duplex(1 << 16);
        let stream = TokioIo::new(handle.wrap_io(ours, None));
        let stop = handle.stop_accepting();
        let server = async move {
            let executor = TokioExecutor::new();
            let service =
                service_fn(|_| async { Ok::<_, Infallible>(Response::new(String::new())) });
            let served = http2::Builder::new(executor).serve_connection(stream, service);
            let mut served = pin!(served);
            tokio::select! {
                _ = served.as_mut() => return,
                () = stop => served.as_mut().graceful_shutdown(),
            }
            let _ = served.await;
        };
        let run = tokio::spawn(lifecycle.run(server));
        theirs.write_all(begin).await.unwrap();
        // The server's settings.
        within("a frame", theirs.read_u8()).await.unwrap();
        handle.shutdown();
        let report = within("the run", run).await.unwrap();
        assert_eq!(
            (report.outcome, report.server, report.aborted),
            (Outcome::Clean, ServerOutcome::Done, vec![])
        );
    }
}

/// What a server says first that is no greeting of HTTP/2 is another protocol's: its connection is
/// its server's to end, as long as the drain has time.
#[tokio::test(start_paused = true)]
async fn where_the_server_speaks_first_nobody_is_given_up() {
    for (greeting, begin, is_held) in [
        (&b""[..], &b""[..], false),
        (b"", b"\r\n", false),
        (b"220 hello\r\n", b"", true),
        (b"220 hello\r\n", b"\r\n", true),
        // Nor are its words heads of HTTP, or the beginning of a preface.
        (b"220 hello\r\n", b"EHLO x\r\n", true),
        (b"220 hello\r\n", b"P", true),
        // What looks like TLS is none behind it.
        (b"220 hello\r\n", b"\x16\x03", true),
        (b"", b"\x7f\x01", true),
    ] {
        let lifecycle = quiet_builder().build().unwrap();
        let (handle, drain) = (lifecycle.handle(), lifecycle.budget().drain());
        let (mut theirs, ours) = duplex(64);
        let mut stream = handle.wrap_io(ours, None);
        theirs.write_all(begin).await.unwrap();
        let server = async move {
            stream.write_all(greeting).await.unwrap();
            stream.flush().await.unwrap();
            while stream.read_u8().await.is_ok() {}
        };
        handle.shutdown();
        let report = within("the run", lifecycle.run(server)).await;
        assert_eq!(
            (report.took >= drain, report.unfinished_heads),
            (is_held, vec![]),
            "{greeting:?} {begin:?}"
        );
    }
}
