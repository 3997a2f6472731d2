//! TLS to Redis: whom to trust, who this process is, the handshake.
//!
//! Made here and not by redis-rs, which takes the process's default crypto provider and panics
//! where there are two, and reads the system's roots from disk for every attempt.
//!
//! Floor 3.

use std::fmt;
use std::sync::Arc;

use redis::ConnectionAddr;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{
    CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName,
};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use super::away::AwayCause;
use super::failure::Failure;
use super::lookup::Lookups;
use super::tcp;
use crate::config::ConfigError;

const ROOTS: &str = "PEM with at least one CA certificate";
const NAME: &str = "a host name or IP address for TLS";
const IDENTITY: &str = "PEM with this process's certificate and those that signed it, and PEM with \
     the key of the first one";

/// What can be set about TLS; PEM as it was given.
#[derive(Clone, Default)]
pub(crate) struct TlsOptions {
    pub(crate) roots: Option<Vec<u8>>,
    pub(crate) identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsOptions {
    /// Reads every certificate once; reads the system's roots where none were given.
    ///
    /// `None` where no TLS is `wanted`: a setting that would be ignored is an error.
    pub(crate) fn build(
        &self,
        wanted: bool,
        addresses: &[ConnectionAddr],
    ) -> Result<Option<Tls>, ConfigError> {
        if !wanted {
            return self.unused().map_or(Ok(None), Err);
        }
        for address in addresses {
            if let ConnectionAddr::Tcp(host, _) = address {
                name(host).map_err(|_| ConfigError::new("url", host, NAME))?;
            }
        }
        // The process's default is its own affair: it may have none, or another one.
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("url", error, "a TLS version of ring's"))?
            .with_root_certificates(self.root_store()?);
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                // The error's text may repeat what it could not read: it stays out.
                let refuse = |value: &str| ConfigError::new("tls_identity", value, IDENTITY);
                let chain = certificates(chain)
                    .ok_or_else(|| refuse("a chain without a readable certificate"))?;
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|_| refuse("a key that cannot be read"))?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|_| refuse("a key that does not fit the certificate"))?
            }
        };
        Ok(Some(Tls {
            connector: TlsConnector::from(Arc::new(config)),
        }))
    }

    fn unused(&self) -> Option<ConfigError> {
        let option = match (&self.roots, &self.identity) {
            (Some(_), _) => "tls_roots",
            (None, Some(_)) => "tls_identity",
            (None, None) => return None,
        };
        Some(ConfigError::new(
            option,
            "set for a URL without TLS",
            "only with a rediss:// or rediss-sentinel:// URL",
        ))
    }

    fn root_store(&self) -> Result<RootCertStore, ConfigError> {
        let mut store = RootCertStore::empty();
        let refuse = |value: &str| ConfigError::new("tls_roots", value, ROOTS);
        if let Some(pem) = &self.roots {
            let given = certificates(pem).ok_or_else(|| refuse("no readable certificate"))?;
            for root in given {
                store
                    .add(root)
                    .map_err(|_| refuse("a certificate that cannot be a root"))?;
            }
            return Ok(store);
        }
        // Systems hold a broken one now and then: the others serve.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            return Err(refuse("not set, and this system has no certificates"));
        }
        Ok(store)
    }
}

/// `None` where there is none, or one of them is damaged.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()?;
    (!found.is_empty()).then_some(found)
}

impl fmt::Debug for TlsOptions {
    // Whether they are set is all that is shown: one of them is a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { roots, identity } = self;
        f.debug_struct("TlsOptions")
            .field("roots", &roots.is_some())
            .field("identity", &identity.is_some())
            .finish()
    }
}

/// What a certificate has to be for.
fn name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(host.to_owned())
}

/// Ready to shake hands.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
}

impl Tls {
    /// Dropping the future closes whatever was opened.
    pub(crate) async fn connect(
        &self,
        lookups: &Lookups,
        address: &ConnectionAddr,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let ConnectionAddr::Tcp(host, port) = address else {
            return Err(Failure::unreachable("TLS goes over TCP alone"));
        };
        // Of the URL's hosts it was looked at before; sentinels, and nodes of a Cluster, name others.
        let name = name(host).map_err(|_| Failure::new(AwayCause::Tls, NAME))?;
        let socket = tcp::connect(lookups, host, *port).await?;
        let handshake = self.connector.connect(name, socket).await;
        handshake.map_err(|error| {
            // Whatever else ends a handshake is the network's, or a balancer's with nobody behind it.
            let tls = error.get_ref().is_some_and(|inner| inner.is::<Error>());
            let cause = if tls {
                AwayCause::Tls
            } else {
                AwayCause::Unreachable
            };
            Failure::new(cause, format!("TLS: {error}"))
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
