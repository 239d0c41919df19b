//! Two gateways on one wire, and a WireGuard process on each that joins them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use ipnet::IpNet;
use subm_e2e::until;
use subm_lab::{Ground, Host, STATE_DIR, Veth};

use crate::contest::Contender;
use crate::load::Way;
use crate::peers::process::Process;
use crate::peers::uapi::{self, Ends};

/// One gateway.
struct Side {
    name: &'static str,
    /// On the wire.
    outer: [u8; 4],
    /// In the tunnel.
    inner: [u8; 4],
    /// The byte that its private key consists of: it is for measurements only.
    key: u8,
    /// In hexadecimal.
    public_key: &'static str,
}

const NEAR: Side = Side {
    name: "near",
    outer: [192, 168, 1, 1],
    inner: [192, 168, 2, 1],
    key: 1,
    public_key: "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209",
};
const FAR: Side = Side {
    name: "far",
    outer: [192, 168, 1, 2],
    inner: [192, 168, 2, 2],
    key: 2,
    public_key: "ce8d3ad1ccb633ec7b70c17814a5c76ecd029685050d344745ba05870e587d59",
};
/// Where both ends listen.
pub const PORT: u16 = 4500;
const WIRE: &str = "eth0";
/// Until a program has made its device.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of a wire of 1,500 bytes, as every WireGuard has it that shall carry over IPv6 too.
const MTU: u32 = 1420;

/// What carries packets between the gateways.
pub struct Carrier {
    /// How its figures are called.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// How it learns what it is to do.
    pub told: Told,
}

/// How a program learns its port, keys and peer.
#[derive(Clone, Copy)]
pub enum Told {
    /// Over its socket; these stand before the name of the device on its command line.
    OverItsSocket(&'static [&'static str]),
    /// On its command line, after these: device, port, both keys, the peer's address, its networks.
    OnItsCommandLine(&'static [&'static str]),
}

/// Two joined gateways; the processes end with it.
pub struct Tunnel {
    /// The way through it.
    pub contender: Contender,
    /// The gateways, near and far.
    pub hosts: [Host; 2],
    _processes: Vec<Process>,
}

/// Runs something on a thread with networks and a /run of its own.
pub fn in_own_ground<T: Send + 'static>(body: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let thread = thread::spawn(|| {
        Ground::of_thread()?;
        body()
    });
    thread.join().map_err(|_| anyhow!("the thread panicked"))?
}

/// The same two gateways with nothing between them but the wire.
pub async fn bare(name: &str) -> Result<Contender> {
    let [near, far] = wire(name).await?;
    let way = Way { from: near, to: far, address: IpAddr::from(FAR.outer) };
    // The kernel carries in the name of the generators, which are this process.
    Ok(Contender { name: name.to_owned(), way, processes: vec![std::process::id()] })
}

impl Tunnel {
    /// Joins two new gateways.
    pub async fn join(carrier: &Carrier) -> Result<Self> {
        let hosts = wire(carrier.name).await?;
        let mut processes = Vec::new();
        for (host, here, there) in [(&hosts[0], &NEAR, &FAR), (&hosts[1], &FAR, &NEAR)] {
            let process = Self::end(carrier, host, here, there).await;
            processes.push(process.with_context(|| format!("{} on {}", carrier.name, host.name()))?);
        }
        let way = Way { from: hosts[0].clone(), to: hosts[1].clone(), address: IpAddr::from(FAR.inner) };
        let pids = processes.iter().map(Process::pid).collect();
        let contender = Contender { name: carrier.name.to_owned(), way, processes: pids };
        Ok(Self { contender, hosts, _processes: processes })
    }

    async fn end(carrier: &Carrier, host: &Host, here: &Side, there: &Side) -> Result<Process> {
        let device = device(carrier.name, here);
        let log = PathBuf::from(STATE_DIR).join(format!("{}.log", host.name()));
        let endpoint = SocketAddr::new(IpAddr::from(there.outer), PORT);
        let start = |arguments: &[&str]| Process::start(host, &carrier.program, arguments, log);
        let process = match carrier.told {
            Told::OverItsSocket(first) => {
                let process = start(&[first, &[device.as_str()]].concat())?;
                let private_key = format!("{:02x}", here.key).repeat(32);
                let ends = Ends { private_key, listen_port: PORT, peer_key: there.public_key, endpoint };
                until("it takes its configuration", || uapi::configure(&device, &ends))
                    .with_context(|| process.last_words())?;
                process
            }
            Told::OnItsCommandLine(first) => {
                let (own, peer) = (here.key.to_string(), there.key.to_string());
                let (port, endpoint) = (PORT.to_string(), endpoint.to_string());
                start(&[first, &[&device, &port, &own, &peer, &endpoint, "0.0.0.0/0"]].concat())?
            }
        };
        let found = async {
            let start = Instant::now();
            while let Err(error) = host.set_mtu(&device, MTU).await {
                ensure!(start.elapsed() < PATIENCE, "{error}: {}", process.last_words());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        };
        found.await?;
        host.up(&device).await?;
        host.add_address(&device, IpNet::new_assert(IpAddr::from(here.inner), 24)).await?;
        Ok(process)
    }
}

/// Names of devices are short, and those of both ends differ: their sockets lie in one folder.
fn device(carrier: &str, side: &Side) -> String {
    let short: String = carrier.chars().rev().filter(char::is_ascii_alphabetic).take(8).collect();
    format!("{short}-{}", side.name)
}

async fn wire(name: &str) -> Result<[Host; 2]> {
    let near = Host::create(&format!("{name}-{}", NEAR.name)).await?;
    let far = Host::create(&format!("{name}-{}", FAR.name)).await?;
    Veth { here: (&near, WIRE), there: (&far, WIRE), mtu: 1500 }.lay().await?;
    for (host, side) in [(&near, &NEAR), (&far, &FAR)] {
        host.add_address(WIRE, IpNet::new_assert(IpAddr::from(side.outer), 24)).await?;
    }
    Ok([near, far])
}
