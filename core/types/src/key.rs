//! Keys of WireGuard, as `wg` prints and reads them: base64 of 32 bytes.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize as _, Zeroizing};

/// The length of every key, in bytes.
pub const KEY_BYTES: usize = 32;
/// As many characters of a public key name it in texts for people.
const SHORT: usize = 8;

/// A text that is no key. It does not say what the text was, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It is not base64 of 32 bytes.
    #[error("a key is the base64 of 32 bytes: 44 characters, the last of them '='")]
    NotBase64,
    /// All bytes are zero, which stands for the absence of a key.
    #[error("all bytes of the key are zero")]
    Zero,
}

fn decode(text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, InvalidKey> {
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| InvalidKey::NotBase64)?);
    let bytes: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| InvalidKey::NotBase64)?;
    if bytes == [0; KEY_BYTES] { Err(InvalidKey::Zero) } else { Ok(Zeroizing::new(bytes)) }
}

/// What a peer is known by: no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

impl PublicKey {
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The first characters of the text, enough for a person to tell peers apart.
    pub fn short(&self) -> String {
        self.to_string().chars().take(SHORT).collect()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode(text).map(|bytes| Self(*bytes))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A device's own secret. It is never printed, and wiped when it goes.
///
/// INVARIANT: the bits that X25519 does not use are set as RFC 7748 §5 says, as kernels keep them, so that one key is
/// equal to itself however it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey([u8; KEY_BYTES]);

impl PrivateKey {
    /// Takes the bytes of a key.
    pub const fn new(mut bytes: [u8; KEY_BYTES]) -> Self {
        bytes[0] &= 0xf8;
        bytes[KEY_BYTES - 1] = (bytes[KEY_BYTES - 1] & 0x7f) | 0x40;
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The text that is kept in a Secret.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl FromStr for PrivateKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode(text).map(|bytes| Self::new(*bytes))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// A secret that both ends share beside their own. It is never printed, and wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct PresharedKey([u8; KEY_BYTES]);

impl PresharedKey {
    /// Takes the bytes of a key.
    pub const fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl Drop for PresharedKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(…)")
    }
}

/// The secret by which the ends of IPsec cables prove who they are: any bytes. It is never printed, and wiped when it
/// goes.
#[derive(Clone, PartialEq, Eq)]
pub struct IkeSecret(Vec<u8>);

impl IkeSecret {
    /// Takes the bytes.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for IkeSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for IkeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IkeSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

    #[test]
    fn keys_read_and_print_as_wg_does() {
        let public: PublicKey = TEXT.parse().unwrap();
        assert_eq!(public.to_string(), TEXT);
        assert_eq!(public.short(), "xTIBA5rb");
    }

    #[test]
    fn a_private_key_is_kept_as_kernels_keep_it() {
        const MADE_BY_WG: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
        assert_eq!(MADE_BY_WG.parse::<PrivateKey>().unwrap().to_base64().as_str(), MADE_BY_WG);
        let (one, other) = ([7; KEY_BYTES], [&[0][..], &[7; KEY_BYTES - 2], &[0x47]].concat());
        assert!(PrivateKey::new(one) == PrivateKey::new(other.try_into().unwrap()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let zero = STANDARD.encode([0; KEY_BYTES]);
        let (long, short) = (STANDARD.encode([1; 33]), STANDARD.encode([1; 31]));
        let unpadded = TEXT.trim_end_matches('=');
        for bad in ["", "none", unpadded, &long, &short, &format!("{TEXT}\n")] {
            assert_eq!(bad.parse::<PublicKey>(), Err(InvalidKey::NotBase64), "{bad:?}");
        }
        assert_eq!(zero.parse::<PublicKey>(), Err(InvalidKey::Zero));
    }

    #[test]
    fn secrets_are_never_printed() {
        let secret = format!("{:?} {:?}", PrivateKey::new([7; KEY_BYTES]), PresharedKey::new([7; KEY_BYTES]));
        assert_eq!(secret, "PrivateKey(…) PresharedKey(…)");
    }
}
