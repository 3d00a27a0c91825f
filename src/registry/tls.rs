//! TLS: which roots are trusted, which client certificate is shown.
//!
//! Roots are the system's bundle (or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name), else the ones built in, so that a machine
//! without ca-certificates works. A registry's `certs.d` folder adds roots (`*.crt`) and a client certificate (`*.cert` with
//! `*.key`). Nothing here is read before the first https connection.

use super::config::Config;
use crate::base::{Doing, Error, Result, fsx};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep their bundles: Debian, Fedora, openSUSE, older RHEL, RHEL 7 and later, Alpine.
const BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Folders of single certificates, asked when there is no bundle.
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
/// Files of one folder that are looked at.
const MAX_FILES: usize = 2000;

/// What a registry's own folders add.
#[derive(Debug, Default)]
pub(super) struct Extra {
    roots: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Extra {
    /// Reads `--cert-dir` and the `certs.d` folders of any of `names` (`host:port`).
    pub(super) fn load(config: &Config, names: &[&str]) -> Result<Self> {
        let mut extra = Self::default();
        if let Some(folder) = &config.cert_dir {
            if !folder.is_dir() {
                return Err(Error::usage(format!("`{}` is not a folder", folder.display())).step("read certificates"));
            }
            extra.add_folder(folder)?;
        }
        for parent in &config.certs_d {
            for name in names {
                extra.add_folder(&parent.join(name))?;
            }
        }
        Ok(extra)
    }

    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        for path in files(folder) {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.roots.extend(certificates(&path)?),
                Some("cert") if self.identity.is_none() => {
                    let key = path.with_extension("key");
                    let pem = fsx::read(&key).map_err(|e| e.step(format!("find the key of `{}`", path.display())))?;
                    let key = PrivateKeyDer::from_pem_slice(&pem)
                        .map_err(|_| Error::corrupt(format!("`{}` holds no private key", key.display())))?;
                    self.identity = Some((certificates(&path)?, key));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A configuration that verifies servers. With `show_identity` it offers the client certificate when the server asks.
pub(super) fn verifying(config: &Config, extra: &Extra, show_identity: bool) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let mut trusted = system_roots(config)?;
    trusted.extend(extra.roots.iter().cloned());
    // One certificate in an odd form must not disable the others.
    roots.add_parsable_certificates(trusted.iter().cloned());
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| Error::corrupt(format!("use the root certificates: {e}")))?;
    build(provider, Arc::new(TrustingRoots { inner, trusted }), extra, show_identity)
}

/// A configuration that accepts any server.
pub(super) fn unverifying(extra: &Extra, show_identity: bool) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    build(provider.clone(), Arc::new(TrustingAll(provider)), extra, show_identity)
}

fn build(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    extra: &Extra,
    show_identity: bool,
) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(crate::base::Kind::Bug, format!("set up TLS: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match &extra.identity {
        Some((chain, key)) if show_identity => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|e| Error::corrupt(format!("use the client certificate: {e}"))),
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn system_roots(config: &Config) -> Result<Vec<CertificateDer<'static>>> {
    if config.ssl_cert_file.is_some() || !config.ssl_cert_dirs.is_empty() {
        let mut roots = Vec::new();
        if let Some(path) = &config.ssl_cert_file {
            roots.extend(certificates(path).doing(|| "read `SSL_CERT_FILE`")?);
        }
        roots.extend(config.ssl_cert_dirs.iter().flat_map(|folder| loose(folder)));
        if roots.is_empty() {
            return Err(Error::usage("`SSL_CERT_FILE` and `SSL_CERT_DIR` name no certificate"));
        }
        return Ok(roots);
    }
    let bundle = BUNDLES.iter().find_map(|path| certificates(Path::new(path)).ok().filter(|list| !list.is_empty()));
    Ok(bundle.unwrap_or_else(|| {
        let folders = FOLDERS.iter().map(|folder| loose(Path::new(folder)));
        folders.into_iter().find(|list| !list.is_empty()).unwrap_or_default()
    }))
}

/// The certificates of a PEM file, an empty list if it holds none.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = fsx::read(path)?;
    CertificateDer::pem_slice_iter(&pem)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| Error::corrupt(format!("`{}` is no PEM file: {e}", path.display())))
}

/// All certificates of a folder, whatever its files are called.
fn loose(folder: &Path) -> Vec<CertificateDer<'static>> {
    files(folder).iter().filter_map(|path| certificates(path).ok()).flatten().collect()
}

/// The files of a folder in the order of their names; none if it does not exist.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.take(MAX_FILES).flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    paths.sort();
    paths
}

/// Verifies as usual, and also accepts a server certificate that is itself among the roots.
///
/// The usual recipe for a registry's own certificate (`openssl req -x509`) makes one that calls itself a CA and is used as
/// the server's; Go accepts it, webpki refuses (`CaUsedAsEndEntity`), after it has checked the dates. Whoever put it among the
/// roots trusts its owner with more than that.
#[derive(Debug)]
struct TrustingRoots {
    inner: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for TrustingRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let usual = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match usual {
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(why)))
                if why.0.to_string() == "CaUsedAsEndEntity"
                    && self.trusted.iter().any(|root| root.as_ref() == end_entity.as_ref()) =>
            {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&parsed, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts every certificate; the handshake's signature still has to fit it.
#[derive(Debug)]
struct TrustingAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustingAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
