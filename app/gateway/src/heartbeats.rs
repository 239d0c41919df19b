//! Which other gateways still write their objects.

use std::collections::BTreeMap;
use std::time::Duration;

use subm_api::{Gateway, check, keys};
use subm_kube::Key;
use tokio::time::Instant;

/// COMPAT: three heartbeats of a gateway.
pub(crate) const STALE: Duration = Duration::from_secs(15);

/// The timestamps of other Gateways, and since when each is what it is. Clocks of other nodes do not matter.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats(BTreeMap<Key, (String, Instant)>);

impl Heartbeats {
    /// The Gateways whose timestamp has not changed for long.
    pub(crate) fn dead<'a>(
        &mut self,
        gateways: impl Iterator<Item = (&'a Key, &'a Gateway)>,
        now: Instant,
    ) -> Vec<Gateway> {
        let before = std::mem::take(&mut self.0);
        let mut dead = Vec::new();
        for (key, gateway) in gateways {
            let stamp = check::annotation(&gateway.metadata, keys::UPDATE_TIMESTAMP).unwrap_or_default();
            let since = before.get(key).filter(|(seen, _)| seen == stamp).map_or(now, |(_, since)| *since);
            self.0.insert(key.clone(), (stamp.to_owned(), since));
            if now.duration_since(since) > STALE {
                dead.push(gateway.clone());
            }
        }
        dead
    }

    /// We could not write either: from now on everybody has the whole time again.
    pub(crate) fn begin_anew(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str, stamp: &str) -> (Key, Gateway) {
        let mut gateway = Gateway::default();
        gateway.metadata.name = Some(name.to_owned());
        let stamp = (keys::UPDATE_TIMESTAMP.to_owned(), stamp.to_owned());
        gateway.metadata.annotations = Some([stamp].into());
        (Key::new("submariner-operator", name), gateway)
    }

    fn dead(heartbeats: &mut Heartbeats, gateways: &[(Key, Gateway)], now: Instant) -> Vec<String> {
        let all = gateways.iter().map(|(key, gateway)| (key, gateway));
        heartbeats.dead(all, now).into_iter().filter_map(|gateway| gateway.metadata.name).collect()
    }

    #[test]
    fn a_gateway_that_is_not_written_for_three_heartbeats_is_dead() {
        let (begin, mut heartbeats) = (Instant::now(), Heartbeats::default());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(dead(&mut heartbeats, &[gateway("a", "1"), gateway("b", "1")], begin), [""; 0]);
        assert_eq!(dead(&mut heartbeats, &[gateway("a", "2"), gateway("b", "1")], after(10)), [""; 0]);
        assert_eq!(dead(&mut heartbeats, &[gateway("a", "2"), gateway("b", "1")], after(16)), ["b"]);
    }

    #[test]
    fn a_server_that_nobody_could_write_to_makes_no_gateway_dead() {
        let (begin, mut heartbeats) = (Instant::now(), Heartbeats::default());
        let after = |seconds| begin + Duration::from_secs(seconds);
        let silent = [gateway("b", "1")];
        assert_eq!(dead(&mut heartbeats, &silent, begin), [""; 0]);
        heartbeats.begin_anew();
        assert_eq!(dead(&mut heartbeats, &silent, after(60)), [""; 0]);
        assert_eq!(dead(&mut heartbeats, &silent, after(76)), ["b"]);
    }
}
