//! Checks a server's certificate, and says which one was shown and which authority was trusted.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

use crate::certificate::{Summary, Untrusted};

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// These authorities.
    Authorities(Vec<Vec<u8>>),
    /// Those in a file, which may be replaced at any time.
    File(PathBuf),
    /// Those that the system trusts.
    System,
    /// Everybody.
    Anybody,
}

/// Whether the system's authorities are trusted too.
///
/// COMPAT: Go members trust them for the hub, so a hub with a public certificate works though its own authority
/// was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemToo {
    No,
    Yes,
}

#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    system_too: SystemToo,
    field: String,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<Roots>>,
}

#[derive(Debug, Default)]
struct Roots {
    certificates: Vec<Vec<u8>>,
    webpki: Option<Arc<WebPkiServerVerifier>>,
}

impl Verifier {
    /// A verifier; `field` names where the trust was configured.
    pub(crate) fn new(trust: Trust, system_too: SystemToo, field: String) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Self { trust, system_too, field, provider, current: RwLock::default() };
        verifier.load();
        verifier
    }

    fn current(&self) -> Arc<Roots> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the authorities anew; gives them if they are not what they were.
    fn load(&self) -> Option<Arc<Roots>> {
        let certificates = match &self.trust {
            Trust::Authorities(certificates) => certificates.clone(),
            Trust::File(path) => read(path)?,
            Trust::System => system(),
            Trust::Anybody => Vec::new(),
        };
        if certificates == self.current().certificates {
            return None;
        }
        let webpki = self.webpki(&certificates);
        let roots = Arc::new(Roots { certificates, webpki });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&roots);
        Some(roots)
    }

    fn webpki(&self, certificates: &[Vec<u8>]) -> Option<Arc<WebPkiServerVerifier>> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().map(|der| CertificateDer::from(der.as_slice())));
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&self.provider)).build().ok()
    }

    fn untrusted(&self, shown: &[u8], cause: &Error) -> Error {
        let roots = self.current();
        let mut trusted: Vec<String> =
            roots.certificates.iter().take(3).map(|der| Summary::of(der).to_string()).collect();
        if roots.certificates.len() > trusted.len() {
            trusted.push(format!("{} more", roots.certificates.len() - trusted.len()));
        }
        if trusted.is_empty() {
            trusted.push("nobody".to_owned());
        }
        let untrusted = Untrusted {
            presented: Summary::of(shown),
            trusted: trusted.join(", "),
            field: self.field.clone(),
            cause: cause.to_string(),
        };
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(untrusted))))
    }
}

fn read(path: &PathBuf) -> Option<Vec<Vec<u8>>> {
    let pem = std::fs::read(path).ok()?;
    Some(CertificateDer::pem_slice_iter(&pem).flatten().map(|der| der.to_vec()).collect())
}

fn system() -> Vec<Vec<u8>> {
    rustls_native_certs::load_native_certs().certs.iter().map(|der| der.to_vec()).collect()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trust == Trust::Anybody {
            return Ok(ServerCertVerified::assertion());
        }
        let check = |webpki: Option<&Arc<WebPkiServerVerifier>>| match webpki {
            Some(webpki) => webpki.verify_server_cert(shown, between, name, ocsp, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        let cause = match check(self.current().webpki.as_ref()) {
            Ok(verified) => return Ok(verified),
            Err(cause) => cause,
        };
        // The authority may have been replaced since it was read.
        if let Some(fresh) = self.load()
            && let Ok(verified) = check(fresh.webpki.as_ref())
        {
            return Ok(verified);
        }
        let unknown = cause == Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if unknown && self.system_too == SystemToo::Yes && self.trust != Trust::System {
            let webpki = self.webpki(&system());
            if let Ok(verified) = check(webpki.as_ref()) {
                return Ok(verified);
            }
        }
        Err(self.untrusted(shown, &cause))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
