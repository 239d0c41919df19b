//! The handshake `IKpsk2` of Noise as WireGuard uses it: two messages, from which both sides derive the keys of a session.

use subm_types::{PresharedKey, PrivateKey, PublicKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::crypto::{HASH, Hash, Secret, aead_key, agree, derive, hash, open, public_key, seal};
use crate::message::{Handshake, INITIATION, RESPONSE, TAG};
use crate::session::{Agreed, Role};
use crate::tai64n::{TAI64N, Tai64N};

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// The messages without the two authentication codes at their end.
const INITIATION_EPHEMERAL: usize = 8;
const INITIATION_STATIC: usize = INITIATION_EPHEMERAL + HASH;
const INITIATION_STAMP: usize = INITIATION_STATIC + HASH + TAG;
const INITIATION_END: usize = INITIATION_STAMP + TAI64N + TAG;
const RESPONSE_RECEIVER: usize = 8;
const RESPONSE_EPHEMERAL: usize = 12;
const RESPONSE_NOTHING: usize = RESPONSE_EPHEMERAL + HASH;
const RESPONSE_END: usize = RESPONSE_NOTHING + TAG;

/// Our own keys.
pub(crate) struct Identity {
    secret: StaticSecret,
    pub(crate) public: PublicKey,
}

impl Identity {
    pub(crate) fn new(private: &PrivateKey) -> Self {
        Self { secret: StaticSecret::from(*private.as_bytes()), public: public_key(private) }
    }

    /// Tells whether the private key is this one.
    pub(crate) fn is(&self, private: &PrivateKey) -> bool {
        self.secret.as_bytes() == private.as_bytes()
    }
}

/// What handshakes with one peer need.
pub(crate) struct PeerKeys {
    pub(crate) public: PublicKey,
    /// The common secret of both long-term keys.
    shared: Secret,
    preshared: Secret,
}

impl PeerKeys {
    /// None if the key of the peer would make the same secret with everybody.
    pub(crate) fn new(
        identity: &Identity,
        public: PublicKey,
        preshared: Option<&PresharedKey>,
    ) -> Option<Self> {
        let shared = agree(&identity.secret, public.as_bytes())?;
        let preshared = Zeroizing::new(preshared.map_or([0; HASH], |key| *key.as_bytes()));
        Some(Self { public, shared, preshared })
    }

    pub(crate) fn set_preshared(&mut self, preshared: Option<&PresharedKey>) {
        *self.preshared = preshared.map_or([0; HASH], |key| *key.as_bytes());
    }
}

/// The chaining key and the hash of everything so far.
struct Transcript {
    chain: Secret,
    hash: Hash,
}

impl Transcript {
    fn new(responder: &PublicKey) -> Self {
        let chain = hash(&[CONSTRUCTION]);
        let prologue = hash(&[&chain, IDENTIFIER]);
        Self { chain: Zeroizing::new(chain), hash: hash(&[&prologue, responder.as_bytes()]) }
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = hash(&[&self.hash, data]);
    }

    /// Mixes in a secret of which no message key is needed.
    fn mix(&mut self, secret: &[u8]) {
        let [chain] = derive(&self.chain, secret);
        self.chain = chain;
    }

    fn mix_ephemeral(&mut self, public: &[u8; HASH]) {
        self.mix(public);
        self.mix_hash(public);
    }

    /// Mixes in a secret and gives the key of the next sealed part.
    fn mix_key(&mut self, secret: &Secret) -> Secret {
        let [chain, key] = derive(&self.chain, secret.as_slice());
        self.chain = chain;
        key
    }

    fn mix_preshared(&mut self, preshared: &Secret) -> Secret {
        let [chain, middle, key] = derive(&self.chain, preshared.as_slice());
        self.chain = chain;
        self.mix_hash(middle.as_slice());
        key
    }

    fn seal(&mut self, key: &Secret, plain: &[u8], sealed: &mut [u8]) {
        seal(key, &self.hash, plain, sealed);
        self.mix_hash(sealed);
    }

    fn open<const N: usize>(&mut self, key: &Secret, sealed: &[u8]) -> Option<[u8; N]> {
        let plain = open(key, &self.hash, sealed)?;
        self.mix_hash(sealed);
        Some(plain)
    }

    fn finish(&self, role: Role, local_index: u32, remote_index: u32) -> Agreed {
        let [initiators, responders] = derive(&self.chain, &[]);
        let (initiators, responders) = (aead_key(&initiators), aead_key(&responders));
        let (sealing, opening) = match role {
            Role::Initiator => (initiators, responders),
            Role::Responder => (responders, initiators),
        };
        Agreed { local_index, remote_index, role, sealing, opening }
    }
}

/// An initiation of ours that waits for its response.
pub(crate) struct Initiated {
    transcript: Transcript,
    ephemeral: StaticSecret,
    pub(crate) local_index: u32,
}

impl Initiated {
    /// Writes an initiation, without its authentication codes.
    pub(crate) fn new(
        identity: &Identity,
        peer: &PeerKeys,
        local_index: u32,
        stamp: Tai64N,
        ephemeral: &Secret,
    ) -> Option<(Self, [u8; INITIATION])> {
        let ephemeral = StaticSecret::from(**ephemeral);
        let public = x25519_dalek::PublicKey::from(&ephemeral).to_bytes();
        let mut message = [0; INITIATION];
        message[..4].copy_from_slice(&Handshake::Initiation.magic());
        message[4..INITIATION_EPHEMERAL].copy_from_slice(&local_index.to_le_bytes());
        message[INITIATION_EPHEMERAL..INITIATION_STATIC].copy_from_slice(&public);
        let mut transcript = Transcript::new(&peer.public);
        transcript.mix_ephemeral(&public);
        let key = transcript.mix_key(&agree(&ephemeral, peer.public.as_bytes())?);
        transcript.seal(&key, identity.public.as_bytes(), &mut message[INITIATION_STATIC..INITIATION_STAMP]);
        let key = transcript.mix_key(&peer.shared);
        transcript.seal(&key, &stamp.0, &mut message[INITIATION_STAMP..INITIATION_END]);
        Some((Self { transcript, ephemeral, local_index }, message))
    }

    /// Reads the response. What is not authentic changes nothing: the true response may still come.
    pub(crate) fn finish(
        &self,
        identity: &Identity,
        peer: &PeerKeys,
        message: &[u8; RESPONSE],
    ) -> Option<Agreed> {
        let mut transcript = Transcript { chain: self.transcript.chain.clone(), hash: self.transcript.hash };
        let theirs: [u8; HASH] = part(message, RESPONSE_EPHEMERAL);
        transcript.mix_ephemeral(&theirs);
        transcript.mix(agree(&self.ephemeral, &theirs)?.as_slice());
        transcript.mix(agree(&identity.secret, &theirs)?.as_slice());
        let key = transcript.mix_preshared(&peer.preshared);
        let [] = transcript.open(&key, &message[RESPONSE_NOTHING..RESPONSE_END])?;
        Some(transcript.finish(Role::Initiator, self.local_index, u32::from_le_bytes(part(message, 4))))
    }
}

/// The index of ours that a response or a cookie reply names.
pub(crate) fn receiver_of_response(message: &[u8; RESPONSE]) -> u32 {
    u32::from_le_bytes(part(message, RESPONSE_RECEIVER))
}

/// An initiation of somebody, of whom we know by now who it claims to be.
pub(crate) struct Received {
    transcript: Transcript,
    pub(crate) sender: PublicKey,
    theirs: [u8; HASH],
    remote_index: u32,
    sealed_stamp: [u8; TAI64N + TAG],
}

/// An initiation of a peer, authentic.
pub(crate) struct Authentic {
    transcript: Transcript,
    theirs: [u8; HASH],
    remote_index: u32,
    pub(crate) stamp: Tai64N,
}

impl Received {
    /// Finds out who sends.
    pub(crate) fn read(identity: &Identity, message: &[u8; INITIATION]) -> Option<Self> {
        let theirs = part(message, INITIATION_EPHEMERAL);
        let mut transcript = Transcript::new(&identity.public);
        transcript.mix_ephemeral(&theirs);
        let key = transcript.mix_key(&agree(&identity.secret, &theirs)?);
        let sender = transcript.open(&key, &message[INITIATION_STATIC..INITIATION_STAMP])?;
        Some(Self {
            transcript,
            sender: PublicKey(sender),
            theirs,
            remote_index: u32::from_le_bytes(part(message, 4)),
            sealed_stamp: part(message, INITIATION_STAMP),
        })
    }

    /// Proves that it is the peer.
    pub(crate) fn authenticate(mut self, peer: &PeerKeys) -> Option<Authentic> {
        let key = self.transcript.mix_key(&peer.shared);
        let stamp = self.transcript.open(&key, &self.sealed_stamp)?;
        Some(Authentic {
            transcript: self.transcript,
            theirs: self.theirs,
            remote_index: self.remote_index,
            stamp: Tai64N(stamp),
        })
    }
}

impl Authentic {
    /// Writes the response, without its authentication codes.
    pub(crate) fn respond(
        mut self,
        peer: &PeerKeys,
        local_index: u32,
        ephemeral: &Secret,
    ) -> Option<(Agreed, [u8; RESPONSE])> {
        let ephemeral = StaticSecret::from(**ephemeral);
        let public = x25519_dalek::PublicKey::from(&ephemeral).to_bytes();
        let mut message = [0; RESPONSE];
        message[..4].copy_from_slice(&Handshake::Response.magic());
        message[4..RESPONSE_RECEIVER].copy_from_slice(&local_index.to_le_bytes());
        message[RESPONSE_RECEIVER..RESPONSE_EPHEMERAL].copy_from_slice(&self.remote_index.to_le_bytes());
        message[RESPONSE_EPHEMERAL..RESPONSE_NOTHING].copy_from_slice(&public);
        let transcript = &mut self.transcript;
        transcript.mix_ephemeral(&public);
        transcript.mix(agree(&ephemeral, &self.theirs)?.as_slice());
        transcript.mix(agree(&ephemeral, peer.public.as_bytes())?.as_slice());
        let key = transcript.mix_preshared(&peer.preshared);
        transcript.seal(&key, &[], &mut message[RESPONSE_NOTHING..RESPONSE_END]);
        Some((transcript.finish(Role::Responder, local_index, self.remote_index), message))
    }
}

/// The `N` bytes of a message from `at`, which lie within it.
pub(crate) fn part<const N: usize>(message: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&message[at..at + N]);
    out
}
