//! What an IKE daemon shall keep: connections between one subnet of this cluster and one of another.
//!
//! The plan is whole: what the daemon has and the plan has not, goes. Every value is typed, so that nothing that a
//! remote cluster publishes can be more than an address, a network, a port or a name of harmless characters.

mod diff;
mod found;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use subm_types::{Family, IkeSecret};

pub use diff::{IpsecStep, diff};
pub use found::{Association, Child, FoundConnection, FoundDaemon, IpsecEvidence, IpsecState, PairEvidence};
pub use status::parse_status;

/// As many characters of a cable's name are taken into a connection's.
const LONGEST_NAME: usize = 200;
/// Tells marks of ours from metrics that people set: the upper byte of a mark.
const MARK_OF_OURS: u32 = 0x53;

/// The name of a connection within the daemon: harmless characters, none that could be taken for an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionName(String);

/// A cable name that no connection can be called after.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cable name must have 1 to 200 letters, digits, '-' or '.' and begin with a letter or digit")]
pub struct InvalidConnectionName;

impl ConnectionName {
    /// COMPAT: `CABLE-v4-0-1`: the remote cable, the family, the indices of the subnet of this cluster and of the
    /// remote one.
    pub fn of(
        cable: &str,
        family: Family,
        (local, remote): (usize, usize),
    ) -> Result<Self, InvalidConnectionName> {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let begins = cable.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins || cable.len() > LONGEST_NAME || !cable.bytes().all(harmless) {
            return Err(InvalidConnectionName);
        }
        Ok(Self(format!("{cable}-{family}-{local}-{remote}")))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who an end says that it is (RFC 7296 §3.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IkeId {
    /// Its address.
    Address(IpAddr),
    /// A name of its own for one pair of subnets: an address and the indices of its own and of the other's subnet.
    Pair(IpAddr, usize, usize),
    /// The subject of its certificate.
    Certificate,
}

impl fmt::Display for IkeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            // The daemon takes what follows the sign for a name that is not looked up.
            Self::Pair(address, own, other) => write!(f, "@{address}-{own}-{other}"),
            Self::Certificate => f.write_str("%fromcert"),
        }
    }
}

/// Which side begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpsecRole {
    /// Either.
    Peer,
    /// The other: this end waits, and takes any address.
    Server,
    /// This end.
    Client,
}

/// How the ends prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IkeProof {
    /// By the secret that all clusters share.
    Secret,
    /// By certificates; that of this end is the one of this name in the daemon's database.
    Certificate(&'static str),
}

/// One end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpsecEnd {
    /// Where it is; `None` stands for any address.
    pub address: Option<IpAddr>,
    /// Who it is.
    pub id: IkeId,
    /// What is behind it.
    pub network: IpNet,
    /// The UDP port that it is spoken to at; `None` leaves it to the daemon.
    pub port: Option<u16>,
}

impl fmt::Display for IpsecEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "host {address}")?,
            None => f.write_str("host %any")?,
        }
        if let Some(port) = self.port {
            write!(f, " port {port}")?;
        }
        write!(f, " id {} net {}", self.id, self.network)
    }
}

/// One connection: a child security association between two subnets (RFC 7296 §1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpsecConnection {
    /// Which side begins.
    pub role: IpsecRole,
    /// How the ends prove who they are.
    pub proof: IkeProof,
    /// This end.
    pub local: IpsecEnd,
    /// The other end.
    pub remote: IpsecEnd,
    /// Whether ESP goes in UDP though no NAT was noticed (RFC 3948).
    pub encapsulated: bool,
    /// The identifier of the link that packets enter and leave the tunnel by (`XFRMA_IF_ID` in `linux/xfrm.h`).
    pub interface: u32,
}

impl fmt::Display for IpsecConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.role {
            IpsecRole::Peer => "peer",
            IpsecRole::Server => "server",
            IpsecRole::Client => "client",
        })?;
        match &self.proof {
            IkeProof::Secret => f.write_str(" psk")?,
            IkeProof::Certificate(name) => write!(f, " cert {name}")?,
        }
        write!(f, " if_id {} {} to {}", self.interface, self.local, self.remote)?;
        if self.encapsulated {
            f.write_str(" encapsulated")?;
        }
        Ok(())
    }
}

impl IpsecConnection {
    /// A number that the daemon keeps and shows with the connection: ours, and other parameters have another one.
    ///
    /// It is the FNV-1a of the text, of which 24 bits fit beside the sign that tells it for ours.
    pub fn mark(&self) -> u32 {
        const OFFSET: u32 = 0x811c_9dc5;
        const PRIME: u32 = 0x0100_0193;
        let text = self.to_string();
        let hash = text.bytes().fold(OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME));
        (MARK_OF_OURS << 24) | ((hash >> 24) ^ (hash & 0x00ff_ffff))
    }

    /// Whether a metric that the daemon shows is a mark of ours.
    pub(crate) const fn is_mark(metric: u32) -> bool {
        metric >> 24 == MARK_OF_OURS
    }
}

/// Everything that the daemon shall keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpsecPlan {
    /// The connections.
    pub connections: BTreeMap<ConnectionName, IpsecConnection>,
    /// The secret that all clusters share, where ends prove themselves by it.
    pub secret: Option<IkeSecret>,
}

impl fmt::Display for IpsecPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret.is_some() {
            writeln!(f, "ike secret (hidden)")?;
        }
        self.connections.iter().try_for_each(|(name, connection)| writeln!(f, "ike {name} {connection}"))
    }
}

#[cfg(test)]
#[path = "ipsec_tests.rs"]
mod tests;
