//! A certificate authority for one test, and what it signs; and a Redis that speaks TLS with it.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::redis_server::{RedisServer, free_port, scratch_dir};

/// Signs certificates, and keeps them in files for as long as it lives.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

/// In PEM.
pub(crate) struct Certificate {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // By its name OpenSSL finds out who signed: nobody else may be called so.
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
            dir: scratch_dir(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For a host name or an IP address.
    pub(crate) fn sign(&self, name: &str) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            chain: signed.pem(),
            key: key.serialize_pem(),
        }
    }

    /// The path of a file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.join(name);
        std::fs::write(&path, text).expect("the directory is writable");
        path.to_string_lossy().into_owned()
    }

    /// A Redis with a certificate for `name`, and the port of its TLS. Clients need no certificate.
    pub(crate) fn redis(&self, name: &str, arguments: &[&str]) -> (RedisServer, u16) {
        let port = free_port();
        let (certificate, text) = (self.sign(name), port.to_string());
        let mut all = vec!["--tls-port", &text, "--tls-auth-clients", "no"];
        let chain = self.file(&format!("{name}.pem"), &certificate.chain);
        let key = self.file(&format!("{name}.key"), &certificate.key);
        let authority = self.file("ca.pem", &self.pem());
        all.extend(["--tls-cert-file", &chain, "--tls-key-file", &key]);
        all.extend(["--tls-ca-cert-file", &authority]);
        all.extend(arguments);
        (RedisServer::start_on(free_port(), &all), port)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
