//! Where TLS ends in front of the testbed, as a load balancer does it.

use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// Listens on a port of its own, with a certificate made for the occasion, and passes on what it
/// decrypts: HTTP/2 where the browser wants it.
pub(crate) struct TlsProxy {
    port: u16,
    target: watch::Sender<String>,
    task: JoinHandle<()>,
}

impl TlsProxy {
    /// Passes on to `target`, an address with its port.
    pub(crate) async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = watch::Sender::new(target.to_owned());
        let (acceptor, targets) = (acceptor(), target.subscribe());
        let task = tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                let (acceptor, target) = (acceptor.clone(), targets.borrow().clone());
                tokio::spawn(async move {
                    // A browser tries a certificate that it does not know, and hangs up.
                    let mut inbound = acceptor.accept(inbound).await.ok()?;
                    let mut outbound = TcpStream::connect(target).await.ok()?;
                    copy_bidirectional(&mut inbound, &mut outbound).await.ok()
                });
            }
        });
        Self { port, target, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on new connections go to `target`.
    pub(crate) fn switch(&self, target: &str) {
        self.target.send_replace(target.to_owned());
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor() -> TlsAcceptor {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("the key fits the certificate");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
