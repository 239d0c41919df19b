//! What a certificate says of itself, as far as people need it to find the wrong one.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A certificate by the names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whom it is for.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// SHA-256 over the whole.
    pub fingerprint: String,
}

/// Why a server's certificate is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "presents a certificate for {presented} that is not trusted ({cause}); trusted is {trusted}; put the certificate of the authority that signed it into {field}, or correct the address if it is the wrong server"
)]
pub struct Untrusted {
    /// What the server showed.
    pub presented: Summary,
    /// Whom we trust.
    pub trusted: String,
    /// Where the trusted authority was configured.
    pub field: String,
    /// The verifier's words.
    pub cause: String,
}

impl Summary {
    /// Reads the names of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let fingerprint: Vec<_> =
            Sha256::digest(der).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let (issuer, subject) = names(der).unwrap_or_default();
        let or_unnamed = |name: String| if name.is_empty() { "no name".to_owned() } else { name };
        Self { subject: or_unnamed(subject), issuer: or_unnamed(issuer), fingerprint: fingerprint.join(":") }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} signed by {:?} (SHA-256 {}…)", self.subject, self.issuer, self.fingerprint)
    }
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
/// 2.5.4.3 and 2.5.4.10.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];

/// Issuer and subject (RFC 5280 §4.1).
fn names(der: &[u8]) -> Option<(String, String)> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    if element(rest)?.0 == VERSION {
        rest = element(rest)?.2;
    }
    let after_serial = element(rest)?.2;
    let after_algorithm = element(after_serial)?.2;
    let (_, issuer, after_issuer) = element(after_algorithm)?;
    let after_validity = element(after_issuer)?.2;
    let (_, subject, _) = element(after_validity)?;
    Some((common_name(issuer), common_name(subject)))
}

fn common_name(name: &[u8]) -> String {
    attribute(name, COMMON_NAME).or_else(|| attribute(name, ORGANISATION)).unwrap_or_default()
}

/// Finds an attribute in a sequence of sets of (type, value).
fn attribute(mut name: &[u8], kind: &[u8]) -> Option<String> {
    while let Some((_, set, rest)) = element(name) {
        name = rest;
        let Some((SEQUENCE, pair, _)) = element(set) else { continue };
        let Some((_, found, value)) = element(pair) else { continue };
        if found == kind
            && let Some((_, text, _)) = element(value)
        {
            return Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    None
}

/// The next element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let (bytes, rest) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
        (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
