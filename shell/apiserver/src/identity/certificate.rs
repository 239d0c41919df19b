//! Users by client certificate: the common name is the user, organisations are the groups.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AttributeTypeAndValue;

use crate::access::User;
use crate::tls::TlsError;

/// Whose certificates count.
#[derive(Debug, Clone)]
pub(crate) struct ClientAuthority(Arc<dyn ClientCertVerifier>);

impl ClientAuthority {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|_| TlsError::Pem { what: "the client authority" })?;
            roots.add(certificate).map_err(TlsError::Server)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        Ok(Self(verifier.map_err(|_| TlsError::Pem { what: "the client authority" })?))
    }

    /// Who shows this chain; none where it is expired, foreign, or names nobody.
    pub(crate) fn user(&self, chain: &[CertificateDer<'static>]) -> Option<User> {
        let (certificate, others) = chain.split_first()?;
        self.0.verify_client_cert(certificate, others, UnixTime::now()).ok()?;
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
        let text = |attribute: &AttributeTypeAndValue<'_>| attribute.as_str().map(str::to_owned).ok();
        let name = parsed.subject().iter_common_name().find_map(text)?;
        let mut groups: Vec<String> = parsed.subject().iter_organization().filter_map(text).collect();
        groups.push("system:authenticated".to_owned());
        Some(User { name, groups, ..User::default() })
    }
}
