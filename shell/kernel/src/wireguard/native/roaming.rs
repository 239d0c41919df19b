//! Peers that are elsewhere than they were first looked for.
//!
//! KERNEL: a device sends to where it last heard a peer from, and tells no more than that address, be it the peer's or
//! one that somebody else wrote there. A peer is taken to be there as long as packets of it arrive.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use subm_types::PublicKey;

/// A peer that is there says so every 10 s (keepalive).
const SILENCE: Duration = Duration::from_secs(25);
/// A session without a younger handshake is thrown away.
const SESSION: Duration = Duration::from_mins(3);
/// An address that no peer has.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What a device tells of a peer at one look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    pub(super) endpoint: Option<SocketAddr>,
    /// Bytes received from the peer.
    pub(super) received: u64,
    /// How long the last handshake is past.
    pub(super) handshake: Option<Duration>,
    pub(super) at: Instant,
}

#[derive(Debug, Default)]
struct Peer {
    /// Where the device was told to look for it.
    told: Option<SocketAddr>,
    /// Where it was last seen, how much had come from it then, and when something last came.
    seen: Option<(SocketAddr, u64, Instant)>,
}

/// The peers of one device.
#[derive(Debug, Default)]
pub(super) struct Roaming(BTreeMap<PublicKey, Peer>);

impl Roaming {
    /// Remembers where a device was told to look for a peer.
    pub(super) fn told(&mut self, key: PublicKey, endpoint: SocketAddr) {
        self.0.entry(key).or_default().told = Some(endpoint);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&PublicKey) -> bool) {
        self.0.retain(|key, _| keep(key));
    }

    /// Whether a peer that is looked for here is known to be elsewhere.
    pub(super) fn has_moved(&self, key: PublicKey, wanted: SocketAddr) -> bool {
        self.0.get(&key).is_some_and(|peer| {
            peer.told == Some(wanted) && peer.seen.is_some_and(|(endpoint, ..)| endpoint != wanted)
        })
    }

    /// Where a peer is in the plan's words: where it is wanted if it was only heard from elsewhere, else where the
    /// device sends.
    pub(super) fn place(&mut self, key: PublicKey, sight: Sight, wanted: Option<SocketAddr>) -> SocketAddr {
        let peer = self.0.entry(key).or_default();
        let (Some(found), Some(wanted)) = (sight.endpoint, wanted) else {
            peer.seen = None;
            return sight.endpoint.unwrap_or(NOWHERE);
        };
        let elsewhere = found != wanted;
        // After a start nobody knows what the device was told: a session that lives is believed.
        let told = peer.told.is_none_or(|told| told == wanted);
        let heard = peer.hears(found, sight);
        if elsewhere && !(told && heard) {
            peer.seen = None;
            return found;
        }
        peer.told = Some(wanted);
        wanted
    }
}

impl Peer {
    /// Whether what arrives from a peer arrives from there.
    fn hears(&mut self, endpoint: SocketAddr, sight: Sight) -> bool {
        let Some((seen, received, at)) = self.seen else {
            self.seen = Some((endpoint, sight.received, sight.at));
            return sight.handshake.is_some_and(|age| age < SESSION);
        };
        let more = sight.received > received;
        let heard = more || (seen == endpoint && sight.at.duration_since(at) < SILENCE);
        if more || seen != endpoint {
            self.seen = Some((endpoint, sight.received, sight.at));
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: PublicKey = PublicKey([1; 32]);

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A device that is looked at now and then.
    struct Device {
        roaming: Roaming,
        start: Instant,
        handshake: Option<Duration>,
    }

    impl Device {
        fn new(handshake: Option<u64>) -> Self {
            let handshake = handshake.map(Duration::from_secs);
            Self { roaming: Roaming::default(), start: Instant::now(), handshake }
        }

        fn look(&mut self, second: u64, (found, received): (&str, u64), wanted: &str) -> String {
            let at = self.start + Duration::from_secs(second);
            let sight = Sight { endpoint: Some(address(found)), received, handshake: self.handshake, at };
            self.roaming.place(KEY, sight, Some(address(wanted))).to_string()
        }
    }

    #[test]
    fn a_peer_that_was_heard_from_elsewhere_stays_there_as_long_as_it_is_heard() {
        let mut device = Device::new(Some(1));
        device.roaming.told(KEY, address("1.1.1.1:1"));
        assert_eq!(device.look(0, ("1.1.1.1:1", 10), "1.1.1.1:1"), "1.1.1.1:1");
        assert_eq!(device.look(1, ("2.2.2.2:2", 20), "1.1.1.1:1"), "1.1.1.1:1");
        assert!(device.roaming.has_moved(KEY, address("1.1.1.1:1")));
        assert_eq!(device.look(20, ("2.2.2.2:2", 20), "1.1.1.1:1"), "1.1.1.1:1");
        assert_eq!(device.look(24, ("2.2.2.2:2", 30), "1.1.1.1:1"), "1.1.1.1:1");
        assert_eq!(device.look(48, ("2.2.2.2:2", 30), "1.1.1.1:1"), "1.1.1.1:1");
        assert_eq!(device.look(50, ("2.2.2.2:2", 30), "1.1.1.1:1"), "2.2.2.2:2", "silent: looked for anew");
    }

    #[test]
    fn an_address_that_somebody_else_wrote_is_no_move() {
        let mut device = Device::new(Some(1));
        device.roaming.told(KEY, address("1.1.1.1:1"));
        assert_eq!(device.look(0, ("1.1.1.1:1", 10), "1.1.1.1:1"), "1.1.1.1:1");
        assert_eq!(device.look(1, ("6.6.6.6:6", 10), "1.1.1.1:1"), "6.6.6.6:6");
        assert!(!device.roaming.has_moved(KEY, address("1.1.1.1:1")));
    }

    #[test]
    fn a_new_address_in_the_plan_counts_at_once() {
        let mut device = Device::new(Some(1));
        device.roaming.told(KEY, address("1.1.1.1:1"));
        assert_eq!(device.look(0, ("1.1.1.1:1", 10), "1.1.1.1:1"), "1.1.1.1:1");
        assert_eq!(device.look(1, ("1.1.1.1:1", 20), "3.3.3.3:3"), "1.1.1.1:1");
        assert!(!device.roaming.has_moved(KEY, address("3.3.3.3:3")));
    }

    #[test]
    fn after_a_start_only_a_session_that_lives_is_believed() {
        assert_eq!(Device::new(Some(60)).look(0, ("2.2.2.2:2", 10), "1.1.1.1:1"), "1.1.1.1:1");
        assert_eq!(Device::new(Some(200)).look(0, ("2.2.2.2:2", 10), "1.1.1.1:1"), "2.2.2.2:2");
        assert_eq!(Device::new(None).look(0, ("2.2.2.2:2", 0), "1.1.1.1:1"), "2.2.2.2:2");
    }
}
