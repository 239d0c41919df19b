//! The server's own certificate authority.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A name or address cannot stand in a certificate.
    #[error("cannot make the certificate of {subject:?}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate cannot be served.
    #[error("cannot serve the certificate")]
    Server(#[source] rustls::Error),
}

/// A certificate authority that lives as long as the process.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    name: String,
}

/// A server certificate with its key, ready to accept connections.
#[derive(Clone)]
pub struct ServerTls(pub(crate) TlsAcceptor);

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerTls")
    }
}

impl Authority {
    /// Makes a new key and a certificate for it.
    pub fn new(name: &str) -> Result<Self, TlsError> {
        let failed = |source| TlsError::Certificate { subject: name.to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let issuer = CertifiedIssuer::self_signed(params, key).map_err(failed)?;
        Ok(Self { issuer, name: name.to_owned() })
    }

    /// The authority's certificate, which clients trust.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Makes a certificate for a server that is reached at these addresses and names.
    pub fn server_certificate(&self, names: &[impl AsRef<str>]) -> Result<ServerTls, TlsError> {
        let failed = |source| TlsError::Certificate { subject: self.name.clone(), source };
        let names: Vec<_> = names.iter().map(|name| name.as_ref().to_owned()).collect();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        let subject = match params.subject_alt_names.first() {
            Some(SanType::IpAddress(address)) => address.to_string(),
            _ => "kube-apiserver".to_owned(),
        };
        params.distinguished_name.push(DnType::CommonName, subject);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let chain = vec![certificate.der().clone()];
        server_tls(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
    }
}

fn server_tls(
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerTls, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Server)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Server)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(ServerTls(TlsAcceptor::from(Arc::new(config))))
}
