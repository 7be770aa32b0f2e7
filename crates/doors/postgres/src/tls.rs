//! TLS: the server's certificate and key, and the handshake.
//!
//! A client asks for encryption before it says who it is; `S` answers that it may begin. The provider of
//! cryptography is named here and nowhere else, whatever other crates bring along.

use std::path::Path;
use std::sync::Arc;

use luma_model::{Error, ErrorKind, Result};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::failure::Failure;
use crate::io::{Disconnected, Transport};

/// Proves to clients who the server is, and encrypts what they say.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tls")
    }
}

impl Tls {
    /// Reads a chain of certificates, the server's own first, and its private key, both as PEM.
    ///
    /// # Errors
    /// When a file can't be read or holds something else, or key and certificate do not belong together.
    pub fn read(certificates: &Path, key: &Path) -> Result<Self> {
        let wrong = |path: &Path, error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::InvalidConfiguration, format!("{}: {error}", path.display()))
        };
        let chain = CertificateDer::pem_file_iter(certificates)
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|error| wrong(certificates, &error))?;
        if chain.is_empty() {
            return Err(wrong(certificates, &"there is no certificate in it; it must be in PEM form"));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::internal(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(|error| {
                wrong(key, &format!("{error}, with the certificate {}", certificates.display()))
            })?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Lets the client begin.
    pub(crate) async fn accept<T: Transport>(&self, stream: T) -> std::result::Result<TlsStream<T>, Failure> {
        self.0.accept(stream).await.map_err(|_| Failure::from(Disconnected))
    }
}
