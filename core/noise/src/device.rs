//! The control of one interface: who the peers are, and what has to happen when.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use subm_types::{CidrSet, Moment, PresharedKey, PrivateKey, PublicKey};

use crate::activity::Bell;
use crate::cookie::{Issuer, receiver_of_reply};
use crate::gate::{Doors, Load, Sources};
use crate::handshake::{Identity, Received, receiver_of_response};
use crate::message::{COOKIE_REPLY, Handshake, INITIATION, Kind, RESPONSE};
use crate::peer::{Common, Indexes, Occasion, Peer};
use crate::routes::Routes;
use crate::table::{Path, Sessions, Table};
use crate::tai64n::Stamps;

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
/// the data path took the ring of the [`Bell`].
pub struct Device {
    common: Common,
    peers: BTreeMap<PublicKey, Peer>,
    routes: Arc<Routes>,
    issuer: Issuer,
    load: Load,
    doors: Arc<Doors>,
    sources: Option<Sources>,
    /// The latest moment that a call brought.
    now: Moment,
}

impl Device {
    /// An interface without peers.
    pub fn new(private: &PrivateKey) -> Self {
        let identity = Identity::new(private);
        Self {
            issuer: Issuer::new(&identity.public),
            common: Common {
                identity,
                indexes: Indexes::default(),
                stamps: Stamps::default(),
                outbox: VecDeque::new(),
                bell: Arc::new(Bell::default()),
                changed: true,
            },
            peers: BTreeMap::new(),
            routes: Arc::default(),
            load: Load::default(),
            doors: Arc::default(),
            sources: None,
            now: Moment::default(),
        }
    }

    /// Our public key.
    pub const fn public_key(&self) -> PublicKey {
        self.common.identity.public
    }

    /// Takes another key: all sessions end and handshakes begin anew. The same key changes nothing.
    pub fn set_private_key(&mut self, private: &PrivateKey, now: Now, random: &mut Random<'_>) {
        if self.common.identity.is(private) {
            return;
        }
        self.now = now.moment;
        self.common.identity = Identity::new(private);
        self.issuer = Issuer::new(&self.common.identity.public);
        self.common.changed = true;
        let (common, on) = (&mut self.common, &mut Occasion { now, random });
        self.peers.retain(|key, peer| {
            let stays = *key != common.identity.public && peer.restart(common, on);
            if !stays {
                peer.leave(common);
            }
            stays
        });
        self.index_routes();
    }

    /// Makes the peers those given. A peer that stays keeps its sessions, also when its endpoint, its allowed
    /// addresses or its keepalive change; with another preshared key it gets a new session at once. New peers with
    /// an endpoint begin a handshake at once.
    pub fn set_peers(
        &mut self,
        peers: &BTreeMap<PublicKey, PeerConfig>,
        now: Now,
        random: &mut Random<'_>,
    ) -> Vec<PeerProblem> {
        self.now = now.moment;
        let (common, on) = (&mut self.common, &mut Occasion { now, random });
        self.peers.retain(|key, peer| {
            let stays = peers.contains_key(key);
            if !stays {
                peer.leave(common);
            }
            stays
        });
        common.changed = true;
        let taken = peers.iter().map(|(key, config)| self.set_peer(*key, config, on));
        let mut problems: Vec<PeerProblem> = taken.filter_map(Result::err).collect();
        problems.extend(self.index_routes());
        problems
    }

    fn set_peer(
        &mut self,
        key: PublicKey,
        config: &PeerConfig,
        on: &mut Occasion<'_, '_>,
    ) -> Result<(), PeerProblem> {
        let common = &mut self.common;
        if key == common.identity.public {
            return Err(PeerProblem::OwnKey(key));
        }
        if let Some(peer) = self.peers.get_mut(&key) {
            if peer.config() != config {
                peer.configure(common, config.clone(), on);
            }
            return Ok(());
        }
        let mut peer = Peer::new(common, key, config.clone()).ok_or(PeerProblem::WeakKey(key))?;
        peer.begin(common, on);
        self.peers.insert(key, peer);
        Ok(())
    }

    /// Finds out again who has which addresses.
    fn index_routes(&mut self) -> Vec<PeerProblem> {
        let mut owners: BTreeMap<IpNet, (u32, PublicKey)> = BTreeMap::new();
        let mut problems = Vec::new();
        let claims = (0..).zip(&self.peers).flat_map(|(number, (key, peer))| {
            peer.config().allowed.iter().map(move |network| (network, (number, *key)))
        });
        for (network, (number, winner)) in claims {
            if let Some((_, loser)) = owners.insert(network, (number, winner)) {
                problems.push(PeerProblem::Contested { network, winner, loser });
            }
        }
        let numbered = owners.into_iter().map(|(network, (number, _))| (network, number));
        self.routes = Arc::new(Routes::new(numbered));
        problems
    }

    /// Takes a datagram that [`Kind::of`] calls a handshake.
    pub fn handle_handshake(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now: Now,
        random: &mut Random<'_>,
    ) -> Result<(), Rejection> {
        self.now = now.moment;
        let on = &mut Occasion { now, random };
        let Some(Kind::Handshake(kind)) = Kind::of(datagram) else { return Err(Rejection::Malformed) };
        match kind {
            Handshake::Initiation => self.initiation(exactly(datagram)?, from, on),
            Handshake::Response => self.response(exactly(datagram)?, from, on),
            Handshake::CookieReply => self.cookie_reply(exactly(datagram)?, on),
        }
    }

    fn initiation(
        &mut self,
        message: &[u8; INITIATION],
        from: SocketAddr,
        on: &mut Occasion<'_, '_>,
    ) -> Result<(), Rejection> {
        self.admit(message, from, on)?;
        let received = Received::read(&self.common.identity, message).ok_or(Rejection::NotAuthentic)?;
        let peer = self.peers.get_mut(&received.sender).ok_or(Rejection::UnknownPeer)?;
        peer.take_initiation(&mut self.common, received, from, on)
    }

    fn response(
        &mut self,
        message: &[u8; RESPONSE],
        from: SocketAddr,
        on: &mut Occasion<'_, '_>,
    ) -> Result<(), Rejection> {
        let owner = self.common.indexes.owner(receiver_of_response(message)).copied();
        let owner = owner.ok_or(Rejection::Unsolicited)?;
        self.admit(message, from, on)?;
        let peer = self.peers.get_mut(&owner).ok_or(Rejection::Unsolicited)?;
        peer.take_response(&mut self.common, message, from, on)
    }

    fn cookie_reply(&mut self, reply: &[u8; COOKIE_REPLY], on: &Occasion<'_, '_>) -> Result<(), Rejection> {
        let owner = self.common.indexes.owner(receiver_of_reply(reply)).copied();
        let peer = owner.and_then(|owner| self.peers.get_mut(&owner)).ok_or(Rejection::Unsolicited)?;
        peer.take_cookie(reply, on)
    }

    /// Decides whether a message may cost us a key exchange.
    fn admit(
        &mut self,
        message: &[u8],
        from: SocketAddr,
        on: &mut Occasion<'_, '_>,
    ) -> Result<(), Rejection> {
        if !self.issuer.knows_us(message) {
            return Err(Rejection::NotForUs);
        }
        let now = on.now.moment;
        if !self.load.rises(now, self.peers.len()) {
            return Ok(());
        }
        if !self.issuer.proves_address(message, from, now) {
            let payload = self.issuer.reply(message, from, now, on.random).to_vec();
            self.common.outbox.push_back(Transmit { to: from, payload });
            return Err(Rejection::Cookie);
        }
        let sources = self.sources.get_or_insert_with(|| Sources::new(on.random));
        if sources.admit(from.ip(), now) { Ok(()) } else { Err(Rejection::TooMany) }
    }

    /// Does what is due, and what the data path asked for.
    pub fn handle_timeout(&mut self, now: Now, random: &mut Random<'_>) {
        self.now = now.moment;
        let on = &mut Occasion { now, random };
        for peer in self.peers.values_mut() {
            peer.handle_timeout(&mut self.common, on);
        }
    }

    /// When [`Device::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.peers.values().filter_map(|peer| peer.deadline(self.now)).min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.common.outbox.pop_front()
    }

    /// The snapshot for the data path if there is a new one; the first call gives the first.
    pub fn poll_table(&mut self) -> Option<Arc<Table>> {
        std::mem::take(&mut self.common.changed).then(|| Arc::new(self.table()))
    }

    fn table(&self) -> Table {
        let numbered = || (0..).zip(self.peers.values());
        let sessions: Vec<_> = numbered()
            .flat_map(|(number, peer)| peer.sessions().map(move |session| (number, Arc::clone(session))))
            .collect();
        let paths: Vec<Path> = numbered().map(|(number, peer)| peer.path(number)).collect();
        let mut endpoints: Vec<SocketAddr> = paths.iter().filter_map(Path::endpoint).collect();
        endpoints.sort_unstable();
        Table {
            paths,
            endpoints,
            doors: Arc::clone(&self.doors),
            routes: Arc::clone(&self.routes),
            sessions: Sessions::new(&sessions),
            bell: Arc::clone(&self.common.bell),
        }
    }

    /// How many indexes are in use: what the peers cost us.
    #[cfg(test)]
    pub(crate) fn indexes(&self) -> usize {
        self.common.indexes.len()
    }

    /// All peers as they are.
    pub fn status(&self) -> BTreeMap<PublicKey, PeerStatus> {
        self.peers.iter().map(|(key, peer)| (*key, peer.status())).collect()
    }
}

/// The message in its fixed length, which [`Kind::of`] has checked.
fn exactly<const N: usize>(datagram: &[u8]) -> Result<&[u8; N], Rejection> {
    datagram.try_into().map_err(|_| Rejection::Malformed)
}
