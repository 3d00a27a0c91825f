//! Certificates for the test's registry: an authority of its own, or one certificate that signs itself.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::path::Path;
use std::sync::Arc;

/// What a TLS registry shows, and what its clients have to trust.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// For the server.
    pub(super) server: Arc<rustls::ServerConfig>,
    /// PEM of the certificate to trust.
    pub authority: String,
    /// PEM of a client certificate that the authority signed, and of its key.
    pub client: (String, String),
}

impl Certificates {
    /// A certificate for `names`, signed by an authority.
    pub fn new(names: &[&str]) -> Self {
        Self::make(names, false)
    }

    /// The same, and the server wants a client certificate of the same authority.
    pub fn with_clients(names: &[&str]) -> Self {
        Self::make(names, true)
    }

    /// One certificate that is its own authority, as `openssl req -x509` makes it.
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(owned(names)).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let server = builder().with_no_client_auth();
        let server = server.with_single_cert(vec![certificate.der().clone()], private(&key)).unwrap();
        let client = (certificate.pem(), key.serialize_pem());
        Self { server: Arc::new(server), authority: certificate.pem(), client }
    }

    fn make(names: &[&str], want_client: bool) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(owned(names)).unwrap().signed_by(&key, &issuer).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client =
            CertificateParams::new(vec!["client".to_owned()]).unwrap().signed_by(&client_key, &issuer).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let server = if want_client {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            builder().with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
            )
        } else {
            builder().with_no_client_auth()
        };
        let server = server.with_single_cert(vec![leaf.der().clone()], private(&key)).unwrap();
        Self {
            server: Arc::new(server),
            authority: authority.pem(),
            client: (client.pem(), client_key.serialize_pem()),
        }
    }

    /// Writes `ca.crt` into a folder, as a `certs.d` folder has it.
    pub fn write_authority(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("ca.crt"), &self.authority).unwrap();
    }

    /// Writes `client.cert` and `client.key`.
    pub fn write_client(&self, folder: &Path) {
        std::fs::write(folder.join("client.cert"), &self.client.0).unwrap();
        std::fs::write(folder.join("client.key"), &self.client.1).unwrap();
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

fn builder() -> rustls::ConfigBuilder<rustls::ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}
