//! The snapshot from which the data path works.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use subm_types::{Moment, PublicKey};

use crate::activity::{Activity, Batch, Bell};
use crate::gate::Doors;
use crate::routes::Routes;
use crate::session::Session;

/// Everything that sending and receiving needs, as it was at one moment. Never changes; a later one replaces it.
///
/// Keep it for a batch, then look whether there is a newer one: a session that a table lacks may be in the next.
pub struct Table {
    pub(crate) paths: Vec<Path>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) sessions: Sessions,
    pub(crate) bell: Arc<Bell>,
    /// Where the peers are, in order.
    pub(crate) endpoints: Vec<SocketAddr>,
    pub(crate) doors: Arc<Doors>,
}

/// The way to one peer.
pub struct Path {
    pub(crate) number: u32,
    pub(crate) key: PublicKey,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) session: Option<Arc<Session>>,
    pub(crate) activity: Arc<Activity>,
}

/// A session by the index in a received datagram, and whose it is.
#[derive(Clone, Copy)]
pub struct Receiver<'a> {
    /// The session to open with.
    pub session: &'a Arc<Session>,
    /// The peer that it is with.
    pub path: &'a Path,
}

impl Table {
    /// The peer that has a destination among its allowed addresses.
    #[inline]
    pub fn path_to(&self, destination: IpAddr) -> Option<&Path> {
        self.paths.get(self.routes.find(destination)? as usize)
    }

    /// The session that a received datagram names.
    #[inline]
    pub fn receiver(&self, index: u32) -> Option<Receiver<'_>> {
        let (path, session) = self.sessions.find(index)?;
        Some(Receiver { session, path: self.paths.get(path as usize)? })
    }

    /// Tells whether a peer may send from a source: cryptokey routing of what was received.
    #[inline]
    pub fn admits(&self, path: &Path, source: IpAddr) -> bool {
        self.routes.find(source) == Some(path.number)
    }

    /// Tells whether a handshake message is for the control: what comes faster than a control can want is dropped
    /// here, for the price of a look. Addresses of peers and all others have a rate each.
    #[inline]
    pub fn hears(&self, from: SocketAddr, now: Moment) -> bool {
        let known = self.endpoints.binary_search(&from).is_ok();
        self.doors.admit(known, now, self.paths.len())
    }

    /// All peers, by key.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The flag that says that the control has to look. Take it after each batch.
    #[inline]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }
}

impl Path {
    /// The peer.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Where to send to; none while nobody told and the peer has not come to us.
    pub const fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// The session to send with.
    pub const fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// Says that a packet waits for a session. Cheap to repeat: the bell rings once per handshake.
    #[inline]
    pub fn want_session(&self) {
        self.activity.want_handshake();
    }
}

impl Receiver<'_> {
    /// Tells the timers, the statistics and the roaming what was opened with the session. Once per batch; `from` is
    /// where the last of its authentic datagrams came from.
    #[inline]
    pub fn note_received(&self, batch: Batch, from: SocketAddr, now: Moment) {
        if batch.is_empty() {
            return;
        }
        self.session.note_received(batch, now);
        if self.path.endpoint != Some(from) {
            self.session.note_roamed(from);
        }
    }
}

/// Sessions by index: open addressing, where the index, which is random, is its own hash.
// INVARIANT: the length is a power of two and at least twice the number of sessions.
pub(crate) struct Sessions(Vec<Option<(u32, Arc<Session>)>>);

impl Sessions {
    /// Takes sessions with the number of their path.
    pub(crate) fn new(sessions: &[(u32, Arc<Session>)]) -> Self {
        let mut slots = vec![None; (2 * sessions.len()).next_power_of_two().max(4)];
        let mask = slots.len() - 1;
        for (path, session) in sessions {
            let mut at = session.local_index() as usize & mask;
            while slots[at].is_some() {
                at = (at + 1) & mask;
            }
            slots[at] = Some((*path, Arc::clone(session)));
        }
        Self(slots)
    }

    #[inline]
    fn find(&self, index: u32) -> Option<(u32, &Arc<Session>)> {
        let mask = self.0.len() - 1;
        let mut at = index as usize & mask;
        while let Some((path, session)) = &self.0[at] {
            if session.local_index() == index {
                return Some((*path, session));
            }
            at = (at + 1) & mask;
        }
        None
    }
}
