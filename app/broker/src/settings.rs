//! What the program is told: flags or environment variables, checked all at once.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Subcommand;
use subm_types::ClusterId;

const DEFAULT_FOLDER: &str = "/var/lib/submariner-broker";
const DEFAULT_PORT: u16 = 6443;
const DEFAULT_ADMIN_PORT: u16 = 32784;
/// COMPAT: the namespace of the Go implementation's broker.
const DEFAULT_NAMESPACE: &str = "submariner-k8s-broker";

/// What was given, as it was given. Nothing is checked yet, so that every error can be told.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(args_conflicts_with_subcommands = false)]
pub struct Arguments {
    /// The folder in which everything is kept
    #[arg(long, global = true, env = "SUBMARINER_BROKER_DATA_DIR", default_value = DEFAULT_FOLDER)]
    pub data_dir: PathBuf,
    /// The address and port to listen at; without it, port 6443 of all addresses
    #[arg(long, env = "SUBMARINER_BROKER_LISTEN")]
    pub listen: Option<String>,
    /// A name or address under which members reach the hub, for its certificate; the first stands in kubeconfigs
    #[arg(long = "address", env = "SUBMARINER_BROKER_ADDRESSES", value_delimiter = ',')]
    pub addresses: Vec<String>,
    /// A certificate chain to serve, in PEM, instead of one of the hub's own authority
    #[arg(long, env = "SUBMARINER_BROKER_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate
    #[arg(long, env = "SUBMARINER_BROKER_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// The authority of that certificate, which clients are told to trust
    #[arg(long, env = "SUBMARINER_BROKER_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
    /// The namespace in which members meet
    #[arg(long, env = "SUBMARINER_BROKER_NAMESPACE", default_value = DEFAULT_NAMESPACE)]
    pub namespace: String,
    /// Lets members read all Secrets of that namespace, as members that run the Go implementation expect: weaker
    #[arg(long, env = "SUBMARINER_BROKER_COMPATIBLE")]
    pub compatible: bool,
    /// A file to which every request is told
    #[arg(long, env = "SUBMARINER_BROKER_AUDIT_LOG")]
    pub audit_log: Option<PathBuf>,
    /// The port of /metrics, /healthz, /readyz and /debug; 0 for none
    #[arg(long, env = "SUBMARINER_BROKER_ADMIN_PORT")]
    pub admin_port: Option<String>,
    /// How much is logged: 2 normal, 3 debug, 4 trace
    #[arg(long, short = 'v', global = true, env = "SUBMARINER_VERBOSITY")]
    pub verbosity: Option<String>,
    /// `true` for debug
    #[arg(long, global = true, env = "SUBMARINER_DEBUG")]
    pub debug: Option<String>,
    /// What to do instead of serving
    #[command(subcommand)]
    pub part: Option<Part>,
}

/// What the program does instead of serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Part {
    /// Writes everything of a hub to a file, whether the hub runs or not
    Backup {
        /// The file
        file: PathBuf,
    },
    /// Makes a hub of a backup, in a folder that holds none
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Gives a cluster a credential of its own at the running hub, and prints it as a kubeconfig
    Member {
        /// The id of the cluster
        cluster: ClusterId,
    },
}

/// What the program was told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The folder in which everything is kept.
    pub folder: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Under which names and addresses the hub is reached.
    pub addresses: Vec<String>,
    /// A certificate from elsewhere.
    pub tls: Option<GivenTls>,
    /// The namespace in which members meet.
    pub namespace: String,
    /// What members may read.
    pub secrets: Secrets,
    /// Where requests are told.
    pub audit_log: Option<PathBuf>,
    /// The port of the admin endpoints; 0 for none.
    pub admin_port: u16,
}

/// The files of a certificate from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenTls {
    /// The chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Its authority; none where clients know it anyway.
    pub authority: Option<PathBuf>,
}

/// Whether members read Secrets of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// None.
    Hidden,
    /// All in the namespace in which members meet.
    Shared,
}

/// Everything that is wrong with what was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSettings(pub Vec<String>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not usable: ")?;
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for InvalidSettings {}

impl TryFrom<Arguments> for Settings {
    type Error = InvalidSettings;

    fn try_from(given: Arguments) -> Result<Self, Self::Error> {
        let mut faults = Vec::new();
        let listen = given.listen.as_deref().map_or(Some(everywhere(DEFAULT_PORT)), listening);
        if listen.is_none() {
            let text = given.listen.as_deref().unwrap_or_default();
            faults.push(format!("--listen: {text:?} is no address and port such as 192.0.2.1:6443"));
        }
        let tls = match (given.tls_cert, given.tls_key) {
            (Some(certificate), Some(key)) => Some(GivenTls { certificate, key, authority: given.tls_ca }),
            (None, None) if given.tls_ca.is_none() => None,
            _ => {
                faults.push("--tls-cert and --tls-key go together, and --tls-ca with them".to_owned());
                None
            }
        };
        let admin_port = match given.admin_port.as_deref().map(str::trim) {
            None | Some("") => DEFAULT_ADMIN_PORT,
            Some(text) => text.parse().unwrap_or_else(|_| {
                faults.push(format!("--admin-port: {text:?} is no port"));
                0
            }),
        };
        if given.namespace.trim().is_empty() {
            faults.push("--namespace is empty".to_owned());
        }
        let is_text = |address: &String| !address.trim().is_empty();
        let addresses = given.addresses.into_iter().filter(is_text).collect();
        match listen {
            Some(listen) if faults.is_empty() => Ok(Self {
                folder: given.data_dir,
                listen,
                addresses,
                tls,
                namespace: given.namespace,
                secrets: if given.compatible { Secrets::Shared } else { Secrets::Hidden },
                audit_log: given.audit_log,
                admin_port,
            }),
            _ => Err(InvalidSettings(faults)),
        }
    }
}

/// KERNEL: one IPv6 socket serves both families, unless IPv6 is switched off; then the IPv4 one is tried.
fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

fn listening(text: &str) -> Option<SocketAddr> {
    let port = || text.strip_prefix(':')?.parse().ok().map(everywhere);
    text.parse().ok().or_else(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Arguments {
        Arguments { namespace: DEFAULT_NAMESPACE.to_owned(), ..Arguments::default() }
    }

    #[test]
    fn every_error_is_told_at_once() {
        let wrong = Arguments {
            listen: Some("somewhere".to_owned()),
            tls_cert: Some("x".into()),
            admin_port: Some("70000".to_owned()),
            namespace: " ".to_owned(),
            ..given()
        };
        let text = Settings::try_from(wrong).unwrap_err().to_string();
        for name in ["--listen", "--tls-key", "--admin-port", "--namespace"] {
            assert!(text.contains(name), "{name} in {text}");
        }
    }

    #[test]
    fn a_port_alone_is_that_of_all_addresses() {
        let settings = Settings::try_from(Arguments { listen: Some(":7000".to_owned()), ..given() }).unwrap();
        assert_eq!(settings.listen, everywhere(7000));
        assert_eq!(Settings::try_from(given()).unwrap().listen.port(), 6443);
    }
}
