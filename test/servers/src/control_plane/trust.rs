//! Certificates, keys and the administrator's token of a control plane.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

pub(super) const AUTHORITY: &str = "ca.crt";
pub(super) const SERVER_CERTIFICATE: &str = "server.crt";
pub(super) const SERVER_KEY: &str = "server.key";
pub(super) const ACCOUNTS_PUBLIC: &str = "accounts.pub";
pub(super) const ACCOUNTS_KEY: &str = "accounts.key";
pub(super) const TOKENS: &str = "tokens.csv";

pub(super) struct Trust {
    issuer: CertifiedIssuer<'static, KeyPair>,
    accounts: KeyPair,
    token: String,
}

impl Trust {
    pub(super) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "control plane under test");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut secret = [0; 16];
        getrandom::fill(&mut secret).context("the operating system gives no random bytes")?;
        let token = format!("{:032x}", u128::from_be_bytes(secret));
        Ok(Self { issuer, accounts: KeyPair::generate()?, token })
    }

    pub(super) fn authority(&self) -> String {
        self.issuer.pem()
    }

    /// The bearer token of a member of `system:masters`.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Writes the files of an API server that is known by these names.
    pub(super) fn write(&self, folder: &Path, names: &[&str]) -> Result<()> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let tokens = format!("{},admin,admin,\"system:masters\"\n", self.token);
        for (name, text) in [
            (AUTHORITY, self.authority()),
            (SERVER_CERTIFICATE, certificate.pem()),
            (SERVER_KEY, key.serialize_pem()),
            (ACCOUNTS_PUBLIC, self.accounts.public_key_pem()),
            (ACCOUNTS_KEY, self.accounts.serialize_pem()),
            (TOKENS, tokens),
        ] {
            write(&folder.join(name), &text)?;
        }
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
