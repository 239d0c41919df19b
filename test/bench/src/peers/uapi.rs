//! The text protocol by which WireGuard processes are configured, over a socket named after the device
//! (<https://www.wireguard.com/xplatform/>).

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

const PATIENCE: Duration = Duration::from_secs(5);

/// What one end is told of itself and of the other.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Its private key, in hexadecimal.
    pub private_key: String,
    /// The UDP port that it listens on.
    pub listen_port: u16,
    /// The public key of the other end, in hexadecimal.
    pub peer_key: &'static str,
    /// Where the other end listens.
    pub endpoint: SocketAddr,
}

/// Configures a device; all addresses lie behind the other end.
pub fn configure(device: &str, ends: &Ends) -> Result<()> {
    let path = PathBuf::from(format!("/var/run/wireguard/{device}.sock"));
    let mut socket = UnixStream::connect(&path).with_context(|| format!("cannot open {}", path.display()))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(request(ends).as_bytes())?;
    for line in BufReader::new(socket).lines() {
        let line = line.with_context(|| format!("no answer from {}", path.display()))?;
        if let Some(errno) = line.strip_prefix("errno=") {
            ensure!(errno == "0", "{device} refused its configuration with errno {errno}");
            return Ok(());
        }
    }
    anyhow::bail!("{device} closed its socket without an answer")
}

fn request(ends: &Ends) -> String {
    let mut text = String::from("set=1\n");
    let lines = [
        ("private_key", ends.private_key.clone()),
        ("listen_port", ends.listen_port.to_string()),
        ("replace_peers", "true".to_owned()),
        ("public_key", ends.peer_key.to_owned()),
        ("endpoint", ends.endpoint.to_string()),
        ("persistent_keepalive_interval", "10".to_owned()),
        ("replace_allowed_ips", "true".to_owned()),
        ("allowed_ip", "0.0.0.0/0".to_owned()),
    ];
    for (key, value) in lines {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{key}={value}");
    }
    text + "\n"
}
