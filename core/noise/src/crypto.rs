//! The primitives of the handshake, as the protocol composes them.

use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _, consts::U16};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use chacha20::{R20, hchacha};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use subm_types::{PrivateKey, PublicKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::message::TAG;

/// Bytes of a hash, of a key and of a point.
pub(crate) const HASH: usize = 32;
/// Bytes of a keyed hash.
pub(crate) const MAC: usize = 16;
/// Bytes of the long nonce of a cookie reply.
pub(crate) const LONG_NONCE: usize = 24;
const HASH_BLOCK: usize = 64;

pub(crate) type Hash = [u8; HASH];
pub(crate) type Secret = Zeroizing<[u8; HASH]>;

/// The public half of a private key.
pub fn public_key(private: &PrivateKey) -> PublicKey {
    PublicKey(x25519_dalek::PublicKey::from(&StaticSecret::from(*private.as_bytes())).to_bytes())
}

pub(crate) fn hash(parts: &[&[u8]]) -> Hash {
    let mut state = Blake2s256::new();
    for part in parts {
        blake2::Digest::update(&mut state, part);
    }
    state.finalize().into()
}

/// BLAKE2s with a key, 16 bytes.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; MAC] {
    #[expect(clippy::expect_used, reason = "no key here is longer than a hash")]
    let mut state = Blake2sMac::<U16>::new_from_slice(key).expect("at most 32 bytes");
    for part in parts {
        state.update(part);
    }
    state.finalize_fixed().into()
}

fn hmac(key: &Hash, parts: &[&[u8]]) -> Secret {
    let pad = |byte: u8| {
        let mut block = Zeroizing::new([byte; HASH_BLOCK]);
        for (out, key) in block.iter_mut().zip(key) {
            *out ^= key;
        }
        block
    };
    let mut inner: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
    let block = pad(0x36);
    inner.push(block.as_slice());
    inner.extend(parts);
    let inner = Zeroizing::new(hash(&inner));
    Zeroizing::new(hash(&[pad(0x5c).as_slice(), inner.as_slice()]))
}

/// HKDF with HMAC-BLAKE2s: as many keys as the caller takes.
pub(crate) fn derive<const N: usize>(chain: &Hash, input: &[u8]) -> [Secret; N] {
    let extracted = hmac(chain, &[input]);
    let mut previous = Secret::default();
    let mut number = 0_u8;
    std::array::from_fn(|_| {
        number += 1;
        let before: &[u8] = if number == 1 { &[] } else { previous.as_slice() };
        previous = hmac(&extracted, &[before, &[number]]);
        previous.clone()
    })
}

/// The common secret of two keys; none if it would be the same with everybody.
pub(crate) fn agree(secret: &StaticSecret, public: &[u8; HASH]) -> Option<Secret> {
    let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(*public));
    shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
}

pub(crate) fn aead_key(key: &Hash) -> LessSafeKey {
    #[expect(clippy::expect_used, reason = "the length is the algorithm's")]
    let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes");
    LessSafeKey::new(key)
}

/// Four zero bytes and the counter.
#[inline]
pub(crate) fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Seals with a key that is used once; `sealed` has room for the tag.
pub(crate) fn seal(key: &Hash, about: &[u8], plain: &[u8], sealed: &mut [u8]) {
    seal_numbered(&aead_key(key), 0, about, plain, sealed);
}

/// Opens what [`seal`] made: exactly `N` bytes, or nothing.
pub(crate) fn open<const N: usize>(key: &Hash, about: &[u8], sealed: &[u8]) -> Option<[u8; N]> {
    open_numbered(&aead_key(key), 0, about, sealed)
}

/// XChaCha20-Poly1305: the first 16 bytes of the nonce make a key of its own, the last 8 number it.
pub(crate) fn seal_long(key: &Hash, nonce: &[u8; LONG_NONCE], about: &[u8], plain: &[u8], sealed: &mut [u8]) {
    let (key, number) = long(key, nonce);
    seal_numbered(&key, number, about, plain, sealed);
}

/// Opens what [`seal_long`] made.
pub(crate) fn open_long<const N: usize>(
    key: &Hash,
    nonce: &[u8; LONG_NONCE],
    about: &[u8],
    sealed: &[u8],
) -> Option<[u8; N]> {
    let (key, number) = long(key, nonce);
    open_numbered(&key, number, about, sealed)
}

fn long(key: &Hash, nonce: &[u8; LONG_NONCE]) -> (LessSafeKey, u64) {
    let (mut head, mut tail) = ([0; 16], [0; 8]);
    head.copy_from_slice(&nonce[..16]);
    tail.copy_from_slice(&nonce[16..]);
    let derived: Secret = Zeroizing::new(hchacha::<R20>(key.into(), (&head).into()).into());
    (aead_key(&derived), u64::from_le_bytes(tail))
}

fn seal_numbered(key: &LessSafeKey, number: u64, about: &[u8], plain: &[u8], sealed: &mut [u8]) {
    let (text, tag) = sealed.split_at_mut(sealed.len() - TAG);
    text.copy_from_slice(plain);
    seal_in_place(key, number, about, text, tag);
}

/// Seals in place and writes the tag beside.
#[inline]
pub(crate) fn seal_in_place(key: &LessSafeKey, number: u64, about: &[u8], text: &mut [u8], tag: &mut [u8]) {
    #[expect(clippy::expect_used, reason = "no datagram reaches the limit of the algorithm, 256 GB")]
    let made =
        key.seal_in_place_separate_tag(nonce(number), Aad::from(about), text).expect("shorter than 256 GB");
    tag.copy_from_slice(made.as_ref());
}

fn open_numbered<const N: usize>(
    key: &LessSafeKey,
    number: u64,
    about: &[u8],
    sealed: &[u8],
) -> Option<[u8; N]> {
    let mut text = Zeroizing::new(sealed.to_vec());
    let plain = key.open_in_place(nonce(number), Aad::from(about), &mut text).ok()?;
    (*plain).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..text.len()).step_by(2).map(pair).collect();
        bytes.try_into().unwrap()
    }

    // RFC 7693, appendix B.
    #[test]
    fn hashes_as_the_rfc_does() {
        assert_eq!(
            hash(&[b"a", b"bc"]),
            bytes("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982")
        );
    }

    // RFC 7748, section 6.1.
    #[test]
    fn agrees_as_the_rfc_does() {
        let alice =
            PrivateKey::new(bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
        let public = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
        let alice_public = bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
        assert_eq!(public_key(&alice), PublicKey(alice_public));
        let shared = bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
        assert_eq!(*agree(&StaticSecret::from(*alice.as_bytes()), &public).unwrap(), shared);
        assert!(agree(&StaticSecret::from(*alice.as_bytes()), &[0; 32]).is_none(), "a key of small order");
    }

    // draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn seals_with_long_nonces_as_the_draft_does() {
        let key = bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
        let nonce = bytes("404142434445464748494a4b4c4d4e4f5051525354555657");
        let about: [u8; 12] = bytes("50515253c0c1c2c3c4c5c6c7");
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut sealed = [0; 114 + TAG];
        seal_long(&key, &nonce, &about, plain, &mut sealed);
        assert_eq!(sealed[..16], bytes::<16>("bd6d179d3e83d43b9576579493c0e939"));
        assert_eq!(sealed[114..], bytes::<16>("c0875924c1c7987947deafd8780acf49"));
        assert_eq!(open_long(&key, &nonce, &about, &sealed), Some(*plain));
        sealed[3] ^= 1;
        assert_eq!(open_long::<114>(&key, &nonce, &about, &sealed), None);
    }

    #[test]
    fn derived_keys_are_a_chain() {
        let [one, two] = derive(&[1; 32], b"input");
        let [first, _, third] = derive(&[1; 32], b"input");
        assert_eq!(one, first);
        assert_ne!(two, third);
        let extracted = hmac(&[1; 32], &[b"input"]);
        assert_eq!(two, hmac(&extracted, &[one.as_slice(), &[2]]));
    }
}
