//! JSON web tokens, signed with ES256 by a key of the server's own.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::tls::TlsError;

/// The key that signs tokens of ServiceAccounts.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    pem: String,
    id: String,
    random: SystemRandom,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TokenKey {
    /// Makes a new key.
    pub fn new() -> Result<Self, TlsError> {
        Self::of(&KeyPair::generate().map_err(|source| TlsError::Key { what: "the token key", source })?)
    }

    /// Reads a key as [`TokenKey::to_pem`] wrote it.
    pub fn from_pem(pem: &str) -> Result<Self, TlsError> {
        Self::of(&KeyPair::from_pem(pem).map_err(|source| TlsError::Key { what: "the token key", source })?)
    }

    fn of(key: &KeyPair) -> Result<Self, TlsError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random)
            .map_err(|_| TlsError::Pem { what: "the token key, which must be of P-256" })?;
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(key.subject_public_key_info()));
        Ok(Self { pair, pem: key.serialize_pem(), id, random })
    }

    /// The private key.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// A token that tells these claims.
    pub(crate) fn sign(&self, claims: &Value) -> Option<String> {
        let head = json!({"alg": "ES256", "kid": self.id});
        let signed = [head, claims.clone()].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = self.pair.sign(&self.random, signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The public key, as a set of keys (RFC 7517).
    pub(crate) fn public_keys(&self) -> Value {
        // An uncompressed point: 4, then both coordinates.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len().saturating_sub(1) / 2);
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": coordinate(x), "y": coordinate(y)}]})
    }

    /// What a token tells, if this key signed it.
    pub(crate) fn verify(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        if head["alg"] != "ES256" {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_key_signed_is_believed() {
        let key = TokenKey::new().unwrap();
        let token = key.sign(&json!({"sub": "a"})).unwrap();
        assert_eq!(key.verify(&token), Some(json!({"sub": "a"})));
        assert_eq!(TokenKey::from_pem(key.to_pem()).unwrap().verify(&token), Some(json!({"sub": "a"})));
        assert_eq!(TokenKey::new().unwrap().verify(&token), None);
        let (head, rest) = token.split_once('.').unwrap();
        let (_, signature) = rest.split_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode(json!({"sub": "b"}).to_string());
        assert_eq!(key.verify(&format!("{head}.{other}.{signature}")), None);
        let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
        assert_eq!(key.verify(&format!("{none}.{other}.")), None);
        assert_eq!(key.verify("x"), None);
    }
}
