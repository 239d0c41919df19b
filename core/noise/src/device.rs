//! The control of one interface: who the peers are, and what has to happen when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use subm_types::{CidrSet, Moment, PresharedKey, PrivateKey, PublicKey};

use crate::table::Table;

/// Both clocks at one moment: the one that never goes back for timers, the wall's for handshakes and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The moment by which timers run.
    pub moment: Moment,
    /// The time of day.
    pub wall: SystemTime,
}

/// Fills a buffer with bytes that nobody can guess.
pub type Random<'a> = dyn FnMut(&mut [u8]) + 'a;

/// What the owner wants of one peer.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// A secret of both sides that is mixed into each handshake.
    pub preshared: Option<PresharedKey>,
    /// Where the peer is, if known; authentic packets from elsewhere move it.
    pub endpoint: Option<SocketAddr>,
    /// Which addresses are behind the peer.
    pub allowed: CidrSet,
    /// How long we may stay silent towards the peer.
    pub keepalive: Option<Duration>,
}

/// A datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// The datagram.
    pub payload: Vec<u8>,
}

/// What is wrong with one peer of a configuration; all others work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerProblem {
    /// The peer has our own key.
    #[error("peer {0} has the key of this interface: it is left out")]
    OwnKey(PublicKey),
    /// The key is one of the few points with which every exchange gives the same secret.
    #[error("peer {0} has a key that protects nothing: it is left out")]
    WeakKey(PublicKey),
    /// Two peers claim one network.
    #[error("{network} is allowed for {loser} and for {winner}: the latter has it")]
    Contested {
        /// The network.
        network: IpNet,
        /// Who has it.
        winner: PublicKey,
        /// Who does not.
        loser: PublicKey,
    },
}

/// Why a handshake message was not acted on. None of them changes a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is no handshake message.
    #[error("not a handshake message")]
    Malformed,
    /// The first authentication code is wrong: the sender does not know our key.
    #[error("the message is not for this key")]
    NotForUs,
    /// The sender is not among the peers.
    #[error("the sender is no peer")]
    UnknownPeer,
    /// It answers nothing that we sent, or comes too late.
    #[error("the message answers nothing that was sent")]
    Unsolicited,
    /// Keys do not match, or the message was changed on its way.
    #[error("the message is not authentic")]
    NotAuthentic,
    /// An initiation that is not newer than the last one: a replay.
    #[error("the initiation is not newer than the last one")]
    Replayed,
    /// More than one source or peer may ask.
    #[error("too many handshakes from there")]
    TooMany,
    /// We are under load and the sender has not yet proven its address: a cookie was sent.
    #[error("under load: a cookie was sent")]
    Cookie,
}

/// What is known of one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// The address in use.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed.
    pub last_handshake: Option<SystemTime>,
    /// Bytes of authentic datagrams from the peer.
    pub received: u64,
    /// Bytes of datagrams to the peer.
    pub sent: u64,
    /// Tells whether there is a session to send with.
    pub has_session: bool,
}

/// One interface: its key, its peers, their handshakes and timers.
///
/// After each call ask [`Device::poll_transmit`] until it is empty, [`Device::poll_table`] once and
/// [`Device::poll_timeout`] for when to come back. Call [`Device::handle_timeout`] then, and whenever a thread of
/// the data path took the ring of the [`crate::Bell`].
pub struct Device {
    _todo: (),
}

impl Device {
    /// An interface without peers.
    pub fn new(private: PrivateKey) -> Self;

    /// Our public key.
    pub fn public_key(&self) -> PublicKey;

    /// Takes another key: all sessions end and handshakes begin anew. The same key changes nothing.
    pub fn set_private_key(&mut self, private: PrivateKey, now: Now, random: &mut Random<'_>);

    /// Makes the peers those given. A peer that stays keeps its sessions, also when its endpoint, its allowed
    /// addresses or its keepalive change; with another preshared key it gets a new session at once. New peers with
    /// an endpoint begin a handshake at once.
    pub fn set_peers(
        &mut self,
        peers: &BTreeMap<PublicKey, PeerConfig>,
        now: Now,
        random: &mut Random<'_>,
    ) -> Vec<PeerProblem>;

    /// Takes a datagram that [`crate::message::Kind::of`] calls a handshake.
    pub fn handle_handshake(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Now,
        random: &mut Random<'_>,
    ) -> Result<(), Rejection>;

    /// Does what is due, and what the data path asked for.
    pub fn handle_timeout(&mut self, now: Now, random: &mut Random<'_>);

    /// When [`Device::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Moment>;

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit>;

    /// The snapshot for the data path, if it changed since the last call.
    pub fn poll_table(&mut self) -> Option<Arc<Table>>;

    /// The snapshot for the data path.
    pub fn table(&self) -> Arc<Table>;

    /// All peers as they are.
    pub fn status(&self) -> BTreeMap<PublicKey, PeerStatus>;
}
