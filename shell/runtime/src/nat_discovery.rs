//! NAT discovery: the sockets and the clock around [`subm_probe::NatDiscovery`].

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use subm_probe::NatDiscovery;
use subm_probe::nat::{Datagram, Found, LocalEnd, RemoteEnd};
use subm_types::{CableId, Family, PerFamily};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tracing::{debug, warn};

use crate::{Task, clock};

/// How often a socket that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Longer than any message.
const ROOM: usize = 2048;
/// So many doubts may wait; of each cable there is one at a time.
const DOUBTS: usize = 64;

/// Why nobody can be asked or answered in a family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPort {
    /// The family.
    pub family: Family,
    /// The port.
    pub port: u16,
    /// The kernel's words.
    pub reason: String,
}

/// What is known of the ways to others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// By cable.
    pub found: BTreeMap<CableId, Found>,
    /// What keeps us from asking and answering.
    pub troubles: Vec<NoPort>,
}

/// This end, once it is known, and the others.
#[derive(Debug, Clone, Default)]
struct Ends {
    local: Option<LocalEnd>,
    remotes: BTreeMap<CableId, RemoteEnd>,
}

/// Asks and answers on one port per family, as long as it lives.
#[derive(Debug)]
pub struct Discoverer {
    ends: watch::Sender<Ends>,
    doubts: mpsc::Sender<CableId>,
    ways: watch::Receiver<Ways>,
    _task: Task,
}

impl Discoverer {
    /// Starts on the current runtime; knows nobody yet.
    pub fn start() -> Self {
        let (ends, wanted) = watch::channel(Ends::default());
        let (publish, ways) = watch::channel(Ways::default());
        let (doubts, doubted) = mpsc::channel(DOUBTS);
        let task = Task::spawn("nat-discovery", Asker::new(wanted, publish).run(doubted));
        Self { ends, doubts, ways, _task: task }
    }

    /// Says who we are from now on.
    pub fn set_local(&self, local: Option<LocalEnd>) {
        self.ends.send_if_modified(|present| {
            let news = present.local != local;
            present.local = local;
            news
        });
    }

    /// Says who the others are from now on. What is known of an end that did not change stays.
    pub fn set_remotes(&self, remotes: BTreeMap<CableId, RemoteEnd>) {
        self.ends.send_if_modified(|present| {
            let news = present.remotes != remotes;
            present.remotes = remotes;
            news
        });
    }

    /// Where to tell that no packet comes through a cable: its end is asked anew.
    pub fn doubts(&self) -> mpsc::Sender<CableId> {
        self.doubts.clone()
    }

    /// What is known.
    pub fn ways(&self) -> watch::Receiver<Ways> {
        self.ways.clone()
    }
}

struct Asker {
    wanted: watch::Receiver<Ends>,
    publish: watch::Sender<Ways>,
    core: NatDiscovery,
    numbers: RandomState,
    drawn: u64,
    port: Option<u16>,
    sockets: PerFamily<UdpSocket>,
    troubles: Vec<NoPort>,
}

impl Asker {
    fn new(wanted: watch::Receiver<Ends>, publish: watch::Sender<Ways>) -> Self {
        Self {
            wanted,
            publish,
            core: NatDiscovery::default(),
            numbers: RandomState::new(),
            drawn: 0,
            port: None,
            sockets: PerFamily::default(),
            troubles: Vec::new(),
        }
    }

    async fn run(mut self, mut doubted: mpsc::Receiver<CableId>) {
        let mut retry = tokio::time::interval(RETRY);
        retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut four, mut six) = ([0_u8; ROOM], [0_u8; ROOM]);
        loop {
            let (numbers, drawn) = (&self.numbers, &mut self.drawn);
            self.core.handle_timeout(clock::now(), &mut || {
                *drawn += 1;
                numbers.hash_one(*drawn)
            });
            while let Some(datagram) = self.core.poll_transmit() {
                self.send(&datagram);
            }
            self.tell();
            let next = self.core.poll_timeout();
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.take_ends(),
                    Err(_) => return,
                },
                Some(id) = doubted.recv() => self.core.doubt(clock::now(), &id),
                () = sleep_until(clock::instant(next.unwrap_or_default())), if next.is_some() => {}
                (length, from) = receive(self.sockets.v4.as_ref(), &mut four) =>
                    self.core.handle_datagram(clock::now(), from, &four[..length]),
                (length, from) = receive(self.sockets.v6.as_ref(), &mut six) =>
                    self.core.handle_datagram(clock::now(), from, &six[..length]),
                _ = retry.tick(), if !self.troubles.is_empty() => self.open_missing(),
            }
        }
    }

    fn take_ends(&mut self) {
        let Ends { local, remotes } = self.wanted.borrow_and_update().clone();
        let port = local.as_ref().map(|local| local.port);
        if port != self.port {
            (self.port, self.sockets) = (port, PerFamily::default());
            self.troubles.clear();
        }
        let now = clock::now();
        self.core.set_local(now, local);
        self.core.set_remotes(now, &remotes);
        self.open_missing();
    }

    /// Opens the sockets that are not there, of the families that this end has.
    fn open_missing(&mut self) {
        let Some(local) = self.wanted.borrow().local.clone() else { return };
        let before = std::mem::take(&mut self.troubles);
        let wanted = |family: &Family| local.private_ips.get(*family).is_some();
        for family in Family::ALL.into_iter().filter(wanted) {
            if self.sockets.get(family).is_none() {
                self.open_socket(family, local.port);
            }
        }
        for NoPort { family, port, reason } in self.troubles.iter().filter(|one| !before.contains(one)) {
            warn!(%family, port, reason, "NAT discovery cannot have its port");
        }
    }

    fn open_socket(&mut self, family: Family, port: u16) {
        match open(family, port) {
            Ok(socket) => self.sockets.set(family, socket),
            Err(error) => self.troubles.push(NoPort { family, port, reason: error.to_string() }),
        }
    }

    fn send(&self, datagram: &Datagram) {
        let Some(socket) = self.sockets.get(Family::of(datagram.to.ip())) else { return };
        if let Err(error) = socket.try_send_to(&datagram.payload, datagram.to) {
            // No way there is as good as no answer.
            debug!(to = %datagram.to, %error, "a message of NAT discovery was not sent");
        }
    }

    fn tell(&mut self) {
        let mut changed = false;
        while self.core.poll_changed().is_some() {
            changed = true;
        }
        if changed || self.publish.borrow().troubles != self.troubles {
            let ways = Ways { found: self.core.found(), troubles: self.troubles.clone() };
            self.publish.send_if_modified(|present| {
                let news = *present != ways;
                *present = ways;
                news
            });
        }
    }
}

fn open(family: Family, port: u16) -> io::Result<UdpSocket> {
    let (domain, any) = match family {
        Family::V4 => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        Family::V6 => (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, port).into())?;
    UdpSocket::from_std(socket.into())
}

/// Waits for a datagram; for ever without a socket.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        // An error of the socket is one of an earlier datagram (an ICMP error that came back), not of the reading.
        if let Ok(received) = socket.recv_from(buffer).await {
            return received;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use subm_probe::nat::Way;
    use subm_types::CableName;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    fn local(cluster: &str, cable: &str, address: &str, port: u16) -> LocalEnd {
        LocalEnd {
            cluster: cluster.parse().unwrap(),
            cable: CableName(cable.to_owned()),
            private_ips: PerFamily::of([address.parse().unwrap()]),
            port,
        }
    }

    fn free_port() -> u16 {
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn id(cluster: &str) -> CableId {
        CableId { cluster: cluster.parse().unwrap(), family: Family::V4, path: CableName(cluster.to_owned()) }
    }

    fn remote(port: u16) -> RemoteEnd {
        let private_ip = Some(IpAddr::from([127, 0, 0, 1]));
        RemoteEnd { private_ip, public_ip: None, port }
    }

    async fn told(discoverer: &Discoverer, what: impl Fn(&Ways) -> bool) -> Ways {
        let mut ways = discoverer.ways();
        let told = tokio::time::timeout(LIMIT, ways.wait_for(|ways| what(ways))).await;
        told.unwrap().unwrap().clone()
    }

    #[tokio::test]
    async fn two_on_one_host_find_each_other_and_a_port_that_is_taken_is_told_until_it_is_free() {
        let (near, far) = (free_port(), free_port());
        let (east, west) = (Discoverer::start(), Discoverer::start());
        let holder = std::net::UdpSocket::bind(("0.0.0.0", near)).unwrap();
        east.set_local(Some(local("east", "east", "127.0.0.1", near)));
        east.set_remotes([(id("west"), remote(far))].into());
        west.set_local(Some(local("west", "west", "127.0.0.1", far)));
        west.set_remotes([(id("east"), remote(near))].into());
        let ways = told(&east, |ways| !ways.troubles.is_empty()).await;
        assert_eq!((ways.troubles[0].family, ways.troubles[0].port), (Family::V4, near));
        drop(holder);
        for (one, other) in [(&east, "west"), (&west, "east")] {
            let ways =
                told(one, |ways| ways.found.contains_key(&id(other)) && ways.troubles.is_empty()).await;
            let found = ways.found[&id(other)];
            assert_eq!((found.way, found.nat), (Way::Private, false));
        }
        west.set_remotes(BTreeMap::new());
        assert_eq!(told(&west, |ways| ways.found.is_empty()).await, Ways::default());
    }

    /// Messages that an independent library made of the existing system's schema, where they are at hand.
    #[test]
    fn questions_of_the_existing_system_get_its_answers_byte_for_byte() {
        let Some(folder) = std::env::var_os("GOLDEN_DIR") else {
            eprintln!("skipped: GOLDEN_DIR is not set");
            return;
        };
        let text = std::fs::read_to_string(Path::new(&folder).join("nat-discovery.json")).unwrap();
        let field = |name: &str| -> Vec<u8> {
            let entry = text.split("\"name\"").find(|entry| entry.contains(name)).unwrap();
            let hex = entry.split("\"hex\"").nth(1).unwrap().split('"').nth(1).unwrap();
            let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (0..hex.len()).step_by(2).map(byte).collect()
        };
        let answer = |question: &str, from: &str, own: LocalEnd| {
            let (mut core, now) = (NatDiscovery::default(), clock::now());
            core.set_local(now, Some(own));
            core.handle_datagram(now, from.parse().unwrap(), &field(question));
            core.poll_transmit().map(|datagram| datagram.payload)
        };
        let west = |cable: &str| local("west", cable, "10.9.8.7", 4490);
        let cable = "submariner-cable-west-10-9-8-7";
        assert_eq!(answer("request, bare ids", "10.1.2.3:4490", west(cable)), Some(field("\"response OK\"")),);
        assert_eq!(answer("empty message", "10.1.2.3:4490", west(cable)), None);
        assert!(
            answer("request, family-suffixed ids", "10.1.2.3:4490", west(cable)).is_some(),
            "the other form is understood"
        );
        assert!(answer("malformed request", "10.1.2.3:4490", west(cable)).is_some());
    }
}
