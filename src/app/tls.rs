//! HTTPS: loads the certificate and its key at the start, and reloads them on request.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Why HTTPS can't be served. Each message names the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("can't read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        cause: io::Error,
    },
    /// A file contains no certificate, or no key.
    #[error("{path} holds no {what} in PEM")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What the file should contain.
        what: &'static str,
    },
    /// A file is not valid PEM.
    #[error("{path} is not a PEM file: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: pem::Error,
    },
    /// The certificate and the key can't be used together.
    #[error("the key in {key} can't be used with the certificate in {cert}: {cause}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The error of rustls.
        cause: rustls::Error,
    },
}

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

    /// The configuration for a listener. It picks up each [`Tls::reload`].
    ///
    /// # Errors
    /// [`TlsError`]
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|cause| unusable(&self.cert, &self.key, cause))?;
        Ok(builder.with_no_client_auth().with_cert_resolver(self.clone()))
    }
}

impl ResolvesServerCert for Tls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn unusable(cert: &Path, key: &Path, cause: rustls::Error) -> TlsError {
    TlsError::Unusable { cert: cert.to_owned(), key: key.to_owned(), cause }
}

fn read_pair(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&read_file(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|cause| TlsError::Syntax { path: cert.to_owned(), cause })?;
    if certificates.is_empty() {
        return Err(TlsError::Missing { path: cert.to_owned(), what: "certificate" });
    }
    let private = PrivateKeyDer::from_pem_slice(&read_file(key)?).map_err(|cause| {
        let path = key.to_owned();
        match cause {
            pem::Error::NoItemsFound => TlsError::Missing { path, what: "unencrypted private key" },
            cause => TlsError::Syntax { path, cause },
        }
    })?;
    CertifiedKey::from_der(certificates, private, provider)
        .map_err(|cause| unusable(cert, key, cause))
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|cause| TlsError::Unreadable { path: path.to_owned(), cause })
}
