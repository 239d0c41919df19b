//! Authentication codes at the end of each handshake message, and the cookies behind the second one.

use std::net::{IpAddr, SocketAddr};

use subm_types::{Moment, PublicKey};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::crypto::{HASH, Hash, LONG_NONCE, MAC, Secret, hash, mac, open_long, seal_long};
use crate::device::Random;
use crate::handshake::part;
use crate::message::{COOKIE_REPLY, Handshake};
use crate::timing::{COOKIE_LATENCY, COOKIE_LIFETIME};

const LABEL_MAC1: &[u8] = b"mac1----";
const LABEL_COOKIE: &[u8] = b"cookie--";
const REPLY_NONCE: usize = 8;
const REPLY_COOKIE: usize = REPLY_NONCE + LONG_NONCE;

/// The two keys that follow from a receiver's public key.
struct Labels {
    mac1: Hash,
    cookie: Hash,
}

impl Labels {
    fn of(receiver: &PublicKey) -> Self {
        let label = |label: &[u8]| hash(&[label, receiver.as_bytes()]);
        Self { mac1: label(LABEL_MAC1), cookie: label(LABEL_COOKIE) }
    }
}

/// Splits a message into what the first code covers, what the second covers, and both codes.
fn split(message: &[u8]) -> (&[u8], &[u8], [u8; MAC], [u8; MAC]) {
    let (second, first) = (message.len() - MAC, message.len() - 2 * MAC);
    (&message[..first], &message[..second], part(message, first), part(message, second))
}

/// The receiving side: checks codes and hands out cookies.
pub(crate) struct Issuer {
    labels: Labels,
    secret: Option<(Secret, Moment)>,
}

impl Issuer {
    pub(crate) fn new(own: &PublicKey) -> Self {
        Self { labels: Labels::of(own), secret: None }
    }

    /// Tells whether the sender knows our public key.
    pub(crate) fn knows_us(&self, message: &[u8]) -> bool {
        let (covered, _, mac1, _) = split(message);
        mac(&self.labels.mac1, &[covered]).ct_eq(&mac1).into()
    }

    /// Tells whether the sender has shown that it receives at its address.
    pub(crate) fn proves_address(&self, message: &[u8], from: SocketAddr, now: Moment) -> bool {
        let Some((secret, born)) = &self.secret else { return false };
        let (_, covered, _, mac2) = split(message);
        let fits = mac(&cookie(secret, from), &[covered]).ct_eq(&mac2);
        now.since(*born) < COOKIE_LIFETIME && fits.into()
    }

    /// The answer that lets the sender prove its address next time.
    pub(crate) fn reply(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        now: Moment,
        random: &mut Random<'_>,
    ) -> [u8; COOKIE_REPLY] {
        let stale = self.secret.as_ref().is_none_or(|(_, born)| now.since(*born) >= COOKIE_LIFETIME);
        if stale {
            let mut secret = Secret::default();
            random(secret.as_mut_slice());
            self.secret = Some((secret, now));
        }
        let cookie = self.secret.as_ref().map_or([0; MAC], |(secret, _)| cookie(secret, from));
        let (_, _, mac1, _) = split(message);
        let mut nonce = [0; LONG_NONCE];
        random(&mut nonce);
        let mut reply = [0; COOKIE_REPLY];
        reply[..4].copy_from_slice(&Handshake::CookieReply.magic());
        // The sender's index of the message is the receiver's of the reply.
        reply[4..REPLY_NONCE].copy_from_slice(&message[4..8]);
        reply[REPLY_NONCE..REPLY_COOKIE].copy_from_slice(&nonce);
        seal_long(&self.labels.cookie, &nonce, &mac1, &cookie, &mut reply[REPLY_COOKIE..]);
        reply
    }
}

/// What proves an address: a keyed hash of it.
fn cookie(secret: &Secret, from: SocketAddr) -> [u8; MAC] {
    let port = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(v4) => mac(secret.as_slice(), &[&v4.octets(), &port]),
        IpAddr::V6(v6) => mac(secret.as_slice(), &[&v6.octets(), &port]),
    }
}

/// The sending side towards one peer: writes codes and keeps the peer's cookie.
pub(crate) struct Holder {
    labels: Labels,
    last_mac1: Option<[u8; MAC]>,
    cookie: Option<(Zeroizing<[u8; MAC]>, Moment)>,
}

impl Holder {
    pub(crate) fn new(peer: &PublicKey) -> Self {
        Self { labels: Labels::of(peer), last_mac1: None, cookie: None }
    }

    /// Writes both codes at the end of a message.
    pub(crate) fn sign(&mut self, message: &mut [u8], now: Moment) {
        let (first, second) = (message.len() - 2 * MAC, message.len() - MAC);
        let mac1 = mac(&self.labels.mac1, &[&message[..first]]);
        message[first..second].copy_from_slice(&mac1);
        self.last_mac1 = Some(mac1);
        let fresh = |born: Moment| now.since(born) < COOKIE_LIFETIME.saturating_sub(COOKIE_LATENCY);
        if let Some((cookie, _)) = self.cookie.as_ref().filter(|(_, born)| fresh(*born)) {
            let mac2 = mac(cookie.as_slice(), &[&message[..second]]);
            message[second..].copy_from_slice(&mac2);
        }
    }

    /// Takes a cookie reply; false if it does not answer our last message.
    pub(crate) fn take(&mut self, reply: &[u8; COOKIE_REPLY], now: Moment) -> bool {
        let Some(mac1) = self.last_mac1 else { return false };
        let nonce = part(reply, REPLY_NONCE);
        let opened = open_long(&self.labels.cookie, &nonce, &mac1, &reply[REPLY_COOKIE..]);
        let Some(cookie) = opened else { return false };
        self.cookie = Some((Zeroizing::new(cookie), now));
        // Each message is answered once: the same reply again is a replay.
        self.last_mac1 = None;
        true
    }
}

/// The index of ours that a cookie reply names.
pub(crate) fn receiver_of_reply(reply: &[u8; COOKIE_REPLY]) -> u32 {
    u32::from_le_bytes(part(reply, 4))
}

const _: () = assert!(HASH == 2 * MAC, "a cookie and its tag fill the reply");
