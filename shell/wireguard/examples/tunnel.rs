//! One end of a tunnel, to look at and to measure: `tunnel LINK PORT OWN PEER ENDPOINT ALLOWED [FAR]`, where OWN and
//! PEER are numbers that stand for keys and FAR is the other end of LINK if that is a veth pair.

#![expect(clippy::print_stderr, reason = "it tells a person what it sees")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read as _;

use subm_noise::{PresharedKey, PrivateKey, PublicKey};
use subm_types::IfName;
use subm_wireguard::{Config, Device, Engine, PacketSocket, PeerConfig, Tun};

fn private(number: &str) -> Result<PrivateKey, Box<dyn Error>> {
    Ok(PrivateKey::new([number.parse::<u8>()?; 32]))
}

fn public(number: &str) -> Result<PublicKey, Box<dyn Error>> {
    Ok(subm_noise::Device::new(&private(number)?).public_key())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [link, port, own, peer, endpoint, allowed, far @ ..] = args.as_slice() else {
        return Err("usage: tunnel LINK PORT OWN PEER ENDPOINT ALLOWED [FAR]".into());
    };
    let link: IfName = link.parse()?;
    let device: Box<dyn Device> = match far.first() {
        Some(far) => Box::new(PacketSocket::attach(&link, &far.parse()?)?),
        None => Box::new(Tun::attach(&link)?),
    };
    let peer_config = PeerConfig {
        preshared: Some(PresharedKey::new([9; 32])),
        endpoint: Some(endpoint.parse()?),
        allowed: allowed.split(',').map(str::parse).collect::<Result<_, _>>()?,
        keepalive: Some(std::time::Duration::from_secs(10)),
    };
    let peers = BTreeMap::from([(public(peer)?, peer_config)]);
    let config = Config { private_key: private(own)?, listen_port: port.parse()?, peers };
    let (engine, problems) = Engine::start(device, &config)?;
    for problem in problems {
        eprintln!("{problem}");
    }
    // Ends with its standard input.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    eprintln!("{:#?}", engine.observe()?);
    Ok(())
}
