//! HTTPS: loads the certificate and its key at the start, and reloads them on request.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why HTTPS can't be served. The message names the file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

/// The certificate that new connections get.
#[derive(Debug)]
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Tls {
    /// Loads two PEM files: a certificate chain, the server's own certificate first, and its private key.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn read(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(Arc::new(read_pair(cert, key, &provider)?));
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), provider, current })
    }

    /// Reloads both files, for new connections. If they can't be used, the old certificate stays.
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn reload(&self) -> Result<(), TlsError> {
        let pair = Arc::new(read_pair(&self.cert, &self.key, &self.provider)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    /// The configuration for a listener, with HTTP/2 or without. It picks up each [`Tls::reload`].
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn server_config(self: &Arc<Self>, http2: bool) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|cause| unusable(&self.cert, &self.key, cause))?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        // Each connection holds a record that the client does not read.
        config.max_fragment_size = Some(4096);
        let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn unusable(cert: &Path, key: &Path, cause: rustls::Error) -> TlsError {
    let (cert, key) = (cert.display(), key.display());
    TlsError(format!("the key in {key} can't be used with the certificate in {cert}: {cause}"))
}

fn read_pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read_file(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|cause| wrong_pem(cert, "certificate", &cause))?;
    if certificates.is_empty() {
        return Err(wrong_pem(cert, "certificate", &pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_slice(&read_file(key)?)
        .map_err(|cause| wrong_pem(key, "unencrypted private key", &cause))?;
    CertifiedKey::from_der(certificates, private, provider)
        .map_err(|cause| unusable(cert, key, cause))
}

/// The error does not show the cause's text, which can contain the private key: if the line breaks are lost,
/// the whole key is the line that it quotes.
fn wrong_pem(path: &Path, expected: &str, cause: &pem::Error) -> TlsError {
    let path = path.display();
    TlsError(match cause {
        pem::Error::NoItemsFound => format!("{path} holds no {expected} in PEM"),
        pem::Error::Base64Decode(_) => format!("{path} is not a PEM file: its base64 is damaged"),
        _ => format!("{path} is not a PEM file: the first or last line of a section is damaged"),
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError(format!("can't read {}: {cause}", path.display())))
}
