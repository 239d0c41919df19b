//! Our own WireGuard as a process of the same kind as the others': this program again, told to be one end.

use std::collections::BTreeMap;
use std::env;
use std::io::Read as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use ipnet::IpNet;
use subm_noise::{Device, PrivateKey};
use subm_types::IfName;
use subm_wireguard::{Config, Engine, PeerConfig, Tun};

use crate::tunnel::{Carrier, Told};

/// One end of a tunnel; it ends with its standard input.
#[derive(Args, Clone, Debug)]
pub(crate) struct End {
    link: IfName,
    port: u16,
    /// The byte that our private key consists of.
    own: u8,
    /// The byte that the other's private key consists of.
    peer: u8,
    endpoint: SocketAddr,
    allowed: IpNet,
}

/// This program as a carrier.
pub(crate) fn carrier(name: &'static str) -> Result<Carrier> {
    let program = env::current_exe().context("cannot tell where this program lies")?;
    Ok(Carrier { name, program, told: Told::OnItsCommandLine(&["end"]) })
}

impl End {
    /// Carries packets until the standard input ends.
    pub(crate) fn run(&self) -> Result<()> {
        let public = Device::new(&PrivateKey::new([self.peer; 32])).public_key();
        let peer = PeerConfig {
            preshared: None,
            endpoint: Some(self.endpoint),
            allowed: [self.allowed].into_iter().collect(),
            keepalive: Some(Duration::from_secs(10)),
        };
        let config = Config {
            private_key: PrivateKey::new([self.own; 32]),
            listen_port: self.port,
            peers: BTreeMap::from([(public, peer)]),
        };
        let (engine, problems) = Engine::start(Box::new(Tun::attach(&self.link)?), &config)?;
        if let Some(problem) = problems.first() {
            bail!("{problem}");
        }
        std::io::stdin().read_to_end(&mut Vec::new())?;
        drop(engine);
        Ok(())
    }
}
