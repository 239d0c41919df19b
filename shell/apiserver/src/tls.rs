//! Certificates: the authority's, the server's, and those that clients show.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
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
    /// A key cannot be made or read.
    #[error("cannot make or read {what}")]
    Key {
        /// Which key.
        what: &'static str,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// A text holds no certificates or keys.
    #[error("cannot read the PEM text of {what}")]
    Pem {
        /// What it should hold.
        what: &'static str,
    },
}

/// A certificate authority: its certificate and its key.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    name: String,
}

/// A certificate and its key as text.
#[derive(Clone)]
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for Certified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certified").field("certificate", &self.certificate).finish_non_exhaustive()
    }
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
        let certificate = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate, name: name.to_owned() })
    }

    /// Reads an authority as [`Authority::pem`] and [`Authority::key_pem`] wrote it.
    pub fn from_pem(name: &str, certificate: &str, key: &str) -> Result<Self, TlsError> {
        let failed = |source| TlsError::Certificate { subject: name.to_owned(), source };
        let what = "the key of the authority";
        let key = KeyPair::from_pem(key).map_err(|source| TlsError::Key { what, source })?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key).map_err(failed)?;
        Ok(Self { issuer, certificate: certificate.to_owned(), name: name.to_owned() })
    }

    /// The authority's private key.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes a certificate for a client: a user of these groups.
    pub fn client_certificate(
        &self,
        user: &str,
        groups: &[&str],
        validity: std::ops::Range<jiff::Timestamp>,
    ) -> Result<Certified, TlsError> {
        let failed = |source| TlsError::Certificate { subject: user.to_owned(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        for &group in groups {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        let time = |time: jiff::Timestamp| {
            let date = time.to_zoned(jiff::tz::TimeZone::UTC);
            let part = |part: i8| u8::try_from(part).unwrap_or(1);
            rcgen::date_time_ymd(i32::from(date.year()), part(date.month()), part(date.day()))
        };
        (params.not_before, params.not_after) = (time(validity.start), time(validity.end));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The authority's certificate, which clients trust.
    pub fn pem(&self) -> String {
        self.certificate.clone()
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

impl ServerTls {
    /// Serves a certificate that comes from elsewhere, with its chain.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, TlsError> {
        let unreadable = |what| move |_| TlsError::Pem { what };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(unreadable("the server's certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unreadable("the server's key"))?;
        server_tls(chain, key)
    }
}

fn server_tls(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerTls, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = AnyCertificate(provider.signature_verification_algorithms);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Server)?
        .with_client_cert_verifier(Arc::new(clients))
        .with_single_cert(chain, key)
        .map_err(TlsError::Server)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(ServerTls(TlsAcceptor::from(Arc::new(config))))
}

/// Takes whatever certificate a client shows, if the client holds its key.
///
/// COMPAT: Kubernetes answers worthless certificates with 401, not with a broken handshake; what a certificate is worth
/// is decided with the request.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
