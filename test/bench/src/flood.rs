//! Strangers that send a gateway whatever they can.

use std::io;
use std::io::Read as _;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use subm_lab::{Host, Veth};

use crate::contest::Rounds;
use crate::load::{Load, Passed, measure};
use crate::record::{Bound, Record};
use crate::samples::Samples;
use crate::tunnel::{PORT, Tunnel, in_own_ground};
use crate::{Bench, Programs, engine, usage};

pub(crate) const BENCH: Bench = Bench {
    name: "flood",
    about: "random, cut, replayed and oversized datagrams at line rate: what valid peers keep",
    run,
};

const LEAST: f64 = 0.8;
/// What a process may hold more after many floods than after the first one, in MB.
const GROWTH: f64 = 1.0;
/// Addresses of the strangers' wire.
const STRANGER: [u8; 4] = [192, 168, 3, 1];
const GATEWAY: [u8; 4] = [192, 168, 3, 2];
/// Where a socket only reads.
const SINK: u16 = PORT + 1;
/// The largest that UDP over IPv4 can carry.
const OVERSIZED: usize = 65_507;
const PATIENCE: Duration = Duration::from_secs(10);
/// How many real datagrams are overheard, to be replayed and cut.
const OVERHEARD: usize = 64;

fn run(_: &Programs) -> Result<Vec<Record>> {
    let carrier = engine::carrier("submariner")?;
    in_own_ground(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let tunnel = runtime.block_on(Tunnel::join(&carrier))?;
        let stranger = runtime.block_on(stranger(&tunnel.hosts[1]))?;
        let ammunition = Arc::new(ammunition(&overhear(&tunnel)?));
        let sink = Sink::open(&tunnel.hosts[1])?;
        let records = siege(&tunnel, &Besieger { host: stranger, ammunition });
        sink.close()?;
        records
    })
}

/// A host on a wire of its own to the far gateway.
async fn stranger(gateway: &Host) -> Result<Host> {
    let stranger = Host::create("stranger").await?;
    Veth { here: (&stranger, "eth0"), there: (gateway, "eth1"), mtu: 1500 }.lay().await?;
    stranger.add_address("eth0", IpNet::new_assert(IpAddr::from(STRANGER), 24)).await?;
    gateway.add_address("eth1", IpNet::new_assert(IpAddr::from(GATEWAY), 24)).await?;
    Ok(stranger)
}

/// In turn the flood goes to the sink and to the tunnel, while one flow passes the tunnel.
fn siege(tunnel: &Tunnel, besieger: &Besieger) -> Result<Vec<Record>> {
    let pid = *tunnel.contender.processes.last().context("the tunnel has no process")?;
    let (mut beside, mut under, mut sent) = (Vec::new(), Vec::new(), Vec::new());
    let mut first = None;
    for _ in 0..Rounds::MEDIANS.count {
        beside.push(besieger.measure(tunnel, SINK)?.0.rate);
        let (passed, rate) = besieger.measure(tunnel, PORT)?;
        under.push(passed.rate);
        sent.push(rate);
        first.get_or_insert(usage::memory_of(pid)?);
    }
    let one_flow =
        Record::of_rounds("flood/one-flow", "Gbit/s", &under, &beside).context("nothing was measured")?;
    let samples = |values: Vec<f64>| Samples::new(values).context("nothing was measured");
    let (under, sent) = (samples(under)?, samples(sent)?);
    let grown = usage::memory_of(pid)? - first.context("nothing was measured")?;
    let words = format!(
        "≥ {LEAST} × while the flood goes to a socket that only reads it, medians of {}",
        Rounds::MEDIANS.count
    );
    Ok(vec![
        Record::new("flood/datagrams", sent.median(), "per s"),
        Record::new("flood/one-flow/spread", under.spread() * 100.0, "%"),
        one_flow.asks_ratio(Bound::AtLeast(LEAST), words),
        Record::new("flood/memory-growth", grown, "MB")
            .asks(Bound::AtMost(GROWTH), format!("≤ {GROWTH} MB from the first flood to the last")),
    ])
}

struct Besieger {
    host: Host,
    ammunition: Arc<Vec<Vec<u8>>>,
}

impl Besieger {
    /// What passes the tunnel while a port of its far end is flooded, and how many datagrams were sent in a second.
    fn measure(&self, tunnel: &Tunnel, port: u16) -> Result<(Passed, f64)> {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let socket = self.host.enter(|| -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((IpAddr::from(STRANGER), 0))?;
            socket.connect((IpAddr::from(GATEWAY), port))?;
            Ok(socket)
        })??;
        let (ammunition, seen, count) = (Arc::clone(&self.ammunition), Arc::clone(&stop), Arc::clone(&sent));
        let start = Instant::now();
        let thread = thread::spawn(move || {
            let going = |_: &&Vec<u8>| !seen.load(Ordering::Relaxed);
            for datagram in ammunition.iter().cycle().take_while(going) {
                // Nobody need listen; what the kernel refuses is not counted.
                count.fetch_add(u64::from(socket.send(datagram).is_ok()), Ordering::Relaxed);
            }
        });
        let passed = measure(
            &tunnel.contender.way,
            Load::Streams(1),
            &tunnel.contender.processes,
            Rounds::MEDIANS.window,
        );
        stop.store(true, Ordering::Relaxed);
        thread.join().map_err(|_| anyhow!("the flood panicked"))?;
        let sent = u32::try_from(sent.load(Ordering::Relaxed)).context("too many datagrams")?;
        ensure!(sent > 0, "the flood reached nobody");
        Ok((passed?, f64::from(sent) / start.elapsed().as_secs_f64()))
    }
}

/// A socket in the far gateway that only reads.
struct Sink {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sink {
    fn open(host: &Host) -> Result<Self> {
        let socket = host.enter(|| UdpSocket::bind((IpAddr::from(GATEWAY), SINK)))??;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !seen.load(Ordering::Relaxed) {
                let _read_or_glance = socket.recv(&mut buffer);
            }
        });
        Ok(Self { stop, thread })
    }

    fn close(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the sink panicked"))
    }
}

/// Real datagrams of the tunnel, as they come by on the wire of the far gateway.
fn overhear(tunnel: &Tunnel) -> Result<Vec<Vec<u8>>> {
    /// KERNEL: `ETH_P_IP`; a packet socket takes it in network order.
    const IPV4: i32 = (0x0800_u16.to_be()) as i32;
    let mut socket =
        tunnel.hosts[1].enter(|| Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(IPV4))))??;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let talker = tunnel.contender.clone();
    let window = Rounds::MEDIANS.window;
    let talk = thread::spawn(move || measure(&talker.way, Load::Requests, &[], window));
    let start = Instant::now();
    let mut heard = Vec::new();
    let mut buffer = vec![0; 65_536];
    while heard.len() < OVERHEARD && start.elapsed() < PATIENCE {
        let Ok(length) = socket.read(&mut buffer) else { continue };
        heard.extend(payload_for(&buffer[..length], PORT).map(<[u8]>::to_vec));
    }
    talk.join().map_err(|_| anyhow!("the talker panicked"))??;
    ensure!(!heard.is_empty(), "no datagram of the tunnel was overheard");
    Ok(heard)
}

/// What an IPv4 packet carries to a UDP port.
fn payload_for(packet: &[u8], port: u16) -> Option<&[u8]> {
    const UDP: u8 = 17;
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let udp = packet.get(header..)?;
    let to = u16::from_be_bytes([*udp.get(2)?, *udp.get(3)?]);
    (*packet.get(9)? == UDP && to == port).then(|| udp.get(8..)).flatten()
}

/// Of each kind some, in an order that mixes them: replayed, cut, random under every type of message, oversized.
fn ammunition(heard: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (index, real) in (0_u8..).zip(heard) {
        all.push(real.clone());
        all.push(real[..real.len() * usize::from(index % 8) / 8].to_vec());
        let mut random = noise(usize::from(index) * 23 % 1472 + 4, u32::from(index) + 1);
        random[..4].copy_from_slice(&[index % 6, 0, 0, 0]);
        all.push(random);
        let mut flipped = real.clone();
        flipped.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
        all.push(flipped);
        if index % 16 == 0 {
            let mut oversized = noise(OVERSIZED, u32::from(index) + 1);
            oversized[..4].copy_from_slice(&[4, 0, 0, 0]);
            all.push(oversized);
        }
    }
    all
}

/// Bytes that look random and are the same in every run (xorshift, Marsaglia 2003).
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_datagram_is_sent() {
        let heard: Vec<Vec<u8>> = (0..64).map(|_| noise(148, 7)).collect();
        let all = ammunition(&heard);
        assert!(all.contains(&heard[0]), "replayed");
        assert!(all.iter().any(|one| one.len() < 148 && heard[0].starts_with(one)), "cut");
        assert!(all.iter().any(|one| one.len() == OVERSIZED), "oversized");
        for kind in 1..=4 {
            assert!(all.iter().any(|one| one.first() == Some(&kind)), "random of type {kind}");
        }
    }

    #[test]
    fn payload_is_found_behind_options() {
        let mut packet = vec![0x46; 24];
        packet[9] = 17;
        packet.extend([0, 1, 0x11, 0x94, 0, 9, 0, 0, 42]);
        assert_eq!(payload_for(&packet, 4500), Some(&[42][..]));
        assert_eq!(payload_for(&packet, 4501), None);
        assert_eq!(payload_for(&packet[..26], 4500), None);
    }
}
