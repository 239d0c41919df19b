//! One peer as the control knows it.

mod handshakes;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use subm_types::{Moment, PublicKey};

use crate::activity::{Activity, Batch, Bell};
use crate::cookie::Holder;
use crate::device::{Now, PeerConfig, PeerStatus, Random, Transmit};
use crate::handshake::{Identity, Initiated, PeerKeys};
use crate::keyring::Keyring;
use crate::message::DATA_OVERHEAD;
use crate::session::Session;
use crate::table::Path;
use crate::tai64n::{Stamps, Tai64N};

/// What all peers of a device share.
pub(crate) struct Common {
    pub(crate) identity: Identity,
    pub(crate) indexes: Indexes,
    pub(crate) stamps: Stamps,
    pub(crate) outbox: VecDeque<Transmit>,
    pub(crate) bell: Arc<Bell>,
    /// The table no longer shows how things are.
    pub(crate) changed: bool,
}

/// The time of a call and its source of random bytes.
pub(crate) struct Occasion<'a, 'r> {
    pub(crate) now: Now,
    pub(crate) random: &'a mut Random<'r>,
}

impl Occasion<'_, '_> {
    const fn moment(&self) -> Moment {
        self.now.moment
    }
}

/// Our indexes in use, of sessions and of initiations that wait, and whose each is.
#[derive(Default)]
pub(crate) struct Indexes(BTreeMap<u32, PublicKey>);

impl Indexes {
    fn allocate(&mut self, peer: PublicKey, random: &mut Random<'_>) -> u32 {
        loop {
            let mut bytes = [0; 4];
            random(&mut bytes);
            let index = u32::from_le_bytes(bytes);
            if let std::collections::btree_map::Entry::Vacant(entry) = self.0.entry(index) {
                entry.insert(peer);
                return index;
            }
        }
    }

    fn free(&mut self, index: u32) {
        self.0.remove(&index);
    }

    pub(crate) fn owner(&self, index: u32) -> Option<&PublicKey> {
        self.0.get(&index)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A handshake that we began and that is not done.
struct Attempt {
    began: Moment,
    /// When to send the next initiation, or to give up.
    next: Moment,
    /// The last initiation sent: its response ends the attempt.
    sent: Option<Initiated>,
}

pub(crate) struct Peer {
    keys: PeerKeys,
    config: PeerConfig,
    activity: Arc<Activity>,
    endpoint: Option<SocketAddr>,
    holder: Holder,
    keyring: Keyring,
    attempt: Option<Attempt>,
    last_initiation: Option<Moment>,
    /// The newest time stamp of the peer's initiations, and when it came.
    newest_stamp: Option<(Tai64N, Moment)>,
    last_handshake: Option<SystemTime>,
}

impl Peer {
    /// None if the peer's key protects nothing.
    pub(crate) fn new(common: &Common, public: PublicKey, config: PeerConfig) -> Option<Self> {
        Some(Self {
            keys: PeerKeys::new(&common.identity, public, config.preshared.as_ref())?,
            activity: Arc::new(Activity::new(Arc::clone(&common.bell))),
            endpoint: config.endpoint,
            config,
            holder: Holder::new(&public),
            keyring: Keyring::default(),
            attempt: None,
            last_initiation: None,
            newest_stamp: None,
            last_handshake: None,
        })
    }

    pub(crate) const fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// Takes what changed of the configuration.
    pub(crate) fn configure(&mut self, common: &mut Common, config: PeerConfig, on: &mut Occasion<'_, '_>) {
        let was = std::mem::replace(&mut self.config, config);
        if was.endpoint != self.config.endpoint && self.config.endpoint.is_some() {
            self.move_to(common, self.config.endpoint);
            if self.keyring.current().is_none() {
                self.begin(common, on);
            }
        }
        if was.preshared != self.config.preshared {
            self.keys.set_preshared(self.config.preshared.as_ref());
            self.abandon(common);
            self.begin(common, on);
        }
        common.changed = true;
    }

    /// Begins anew under another identity. False if the peer's key protects nothing.
    pub(crate) fn restart(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) -> bool {
        let preshared = self.config.preshared.as_ref();
        let Some(keys) = PeerKeys::new(&common.identity, self.keys.public, preshared) else { return false };
        self.keys = keys;
        self.leave(common);
        self.last_initiation = None;
        self.begin(common, on);
        true
    }

    /// Frees what the peer holds.
    pub(crate) fn leave(&mut self, common: &mut Common) {
        self.abandon(common);
        let ended = self.keyring.clear();
        release(common, ended);
    }

    pub(crate) fn path(&self, number: u32) -> Path {
        Path {
            number,
            key: self.keys.public,
            endpoint: self.endpoint,
            session: self.keyring.current().cloned(),
            activity: Arc::clone(&self.activity),
        }
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.keyring.all()
    }

    pub(crate) fn status(&self) -> PeerStatus {
        PeerStatus {
            endpoint: self.endpoint,
            last_handshake: self.last_handshake,
            received: self.activity.bytes_received(),
            sent: self.activity.bytes_sent(),
            has_session: self.keyring.current().is_some(),
        }
    }

    fn move_to(&mut self, common: &mut Common, endpoint: Option<SocketAddr>) {
        common.changed |= self.endpoint != endpoint;
        self.endpoint = endpoint;
    }

    fn transmit(&self, common: &mut Common, payload: Vec<u8>, now: Moment) {
        let Some(to) = self.endpoint else { return };
        self.activity.note_sent(Batch::handshake(payload.len()), now);
        common.outbox.push_back(Transmit { to, payload });
    }

    /// Sends an empty packet, which shows that we are there and have the session.
    fn send_keepalive(&self, common: &mut Common, now: Moment) {
        let Some(session) = self.keyring.current() else { return };
        let Some(counter) = session.reserve(1, now).ok().and_then(|mut one| one.next()) else { return };
        let mut datagram = vec![0; DATA_OVERHEAD];
        session.seal(counter, &mut datagram);
        self.transmit(common, datagram, now);
    }
}

/// Frees the indexes of sessions that have ended.
fn release(common: &mut Common, ended: Vec<Arc<Session>>) {
    for session in ended {
        common.indexes.free(session.local_index());
        common.changed = true;
    }
}
