//! What the program is told: flags and environment as text, and what they mean once checked.

mod arguments;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use subm_cable::{InClear, WireguardCarrier};
use subm_kube::HubSettings;
use subm_probe::LeaseTiming;
use subm_types::{Backend, CidrSet, ClusterId};
use zeroize::Zeroizing;

use arguments::{
    ClusterSettings, HealthSettings, HubArguments, IpsecArguments, LeaseSettings, ProcessSettings,
};

pub use arguments::Settings;

const DEFAULT_METRICS_PORT: u16 = 32780;
/// Gone when the node starts anew, as the daemon and its associations are.
const IPSEC_DIRECTORY: &str = "/run/submariner/ipsec";

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// The environment variable.
    pub name: &'static str,
    /// What is wrong with it, and what would be right.
    pub what: String,
}

/// Every setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSettings(pub Vec<InvalidSetting>);

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.what)
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings are not usable")?;
        self.0.iter().try_for_each(|wrong| write!(f, "; {wrong}"))
    }
}

impl std::error::Error for InvalidSettings {}

/// How cables are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthCheck {
    /// Between samples of the statistics.
    pub interval: Duration,
    /// Intervals without answer that the user allows.
    pub losses: u32,
}

impl HealthCheck {
    /// The silence after which the Go implementation would speak.
    pub fn allowed_silence(self) -> Duration {
        self.interval.saturating_mul(self.losses.saturating_add(1))
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Keep the cables.
    Run,
    /// Keep everything as it is, in the kernel and in every API, and say what an active gateway would do to the kernel.
    DryRun,
    /// Remove what was made.
    Uninstall,
}

/// Where the secret of the clusterset comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Psk {
    /// It is this text.
    Text(Zeroizing<String>),
    /// It is in this file.
    Mounted(PathBuf),
    /// It was given as nothing.
    Empty,
    /// It was not given.
    Unset,
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("(secret)"),
            Self::Mounted(path) => write!(f, "file {}", path.display()),
            Self::Empty => f.write_str("empty"),
            Self::Unset => f.write_str("unset"),
        }
    }
}

/// How IPsec cables are set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpsecConfig {
    /// Whether the IKE daemon tells everything that it does.
    pub debug: bool,
    /// Whether ESP always goes in UDP.
    pub encapsulated: bool,
    /// Whether this end wants to be called, unless the node says otherwise.
    pub prefers_server: bool,
    /// The file that the daemon logs to, unless it is the one among its own.
    pub log_file: Option<PathBuf>,
    /// The daemon's files.
    pub directory: PathBuf,
}

impl Default for IpsecConfig {
    fn default() -> Self {
        let directory = PathBuf::from(IPSEC_DIRECTORY);
        Self { debug: false, encapsulated: false, prefers_server: false, log_file: None, directory }
    }
}

/// The settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This cluster.
    pub cluster: ClusterId,
    /// The namespace of our objects.
    pub namespace: String,
    /// Networks of pods, in the given order.
    pub cluster_cidrs: Vec<IpNet>,
    /// Networks of services, in the given order.
    pub service_cidrs: Vec<IpNet>,
    /// What carries the cables.
    pub driver: Backend,
    /// Who carries the packets of WireGuard cables.
    pub wireguard_carrier: WireguardCarrier,
    /// How the public address is found.
    pub public_ip: String,
    /// Whether a NAT is in front of the node.
    pub nat_enabled: bool,
    /// Whether nothing outside can be reached.
    pub air_gapped: bool,
    /// How far a cable that does not encrypt may lead.
    pub in_clear: InClear,
    /// The UDP port of the tunnels, unless the node names one.
    pub udp_port: u16,
    /// The secret that all clusters share.
    pub psk: Psk,
    /// How IPsec cables are set up.
    pub ipsec: IpsecConfig,
    /// The hub.
    pub hub: HubSettings,
    /// The lease.
    pub lease: LeaseTiming,
    /// How cables are probed; absent if they are not.
    pub health: Option<HealthCheck>,
    /// The Node object.
    pub node_name: String,
    /// This pod.
    pub pod_name: Option<String>,
    /// The port of the admin endpoints; 0 for none.
    pub metrics_port: u16,
    /// What to do.
    pub task: Task,
    /// Where the cluster's API is, unless the pod's own credential is used.
    pub kubeconfig: Option<PathBuf>,
}

impl Config {
    /// What this cluster publishes, services first.
    pub fn networks(&self) -> Vec<IpNet> {
        let mut seen = Vec::new();
        for net in self.service_cidrs.iter().chain(&self.cluster_cidrs) {
            if !seen.contains(net) {
                seen.push(*net);
            }
        }
        seen
    }

    /// The networks of pods as a set.
    pub fn pod_networks(&self) -> CidrSet {
        self.cluster_cidrs.iter().copied().collect()
    }
}

impl Settings {
    /// How much is to be said.
    pub fn verbosity(&self) -> subm_runtime::Verbosity {
        let process = &self.process;
        subm_runtime::Verbosity::from_settings(process.verbosity.as_deref(), process.debug.as_deref())
    }

    /// Checks everything and names everything that is wrong.
    pub fn check(&self) -> Result<Config, InvalidSettings> {
        let mut reader = Reader(Vec::new());
        let config = reader.config(self);
        match config {
            Some(config) if reader.0.is_empty() => Ok(config),
            Some(_) | None => Err(InvalidSettings(reader.0)),
        }
    }
}

/// Reads texts and collects what is wrong with them.
struct Reader(Vec<InvalidSetting>);

impl Reader {
    fn config(&mut self, settings: &Settings) -> Option<Config> {
        let Settings { cluster, hub, lease, health, ipsec, process } = settings;
        let hub = self.hub(hub);
        let id = self.cluster_id(cluster.cluster_id.as_deref());
        let namespace = self.required("SUBMARINER_NAMESPACE", cluster.namespace.as_deref());
        let node_name = self.required("NODE_NAME", process.node_name.as_deref());
        self.no_globalnet(cluster.global_cidr.as_deref());
        let cluster_cidrs = self.networks("SUBMARINER_CLUSTERCIDR", cluster.cluster_cidr.as_deref());
        let service_cidrs = self.networks("SUBMARINER_SERVICECIDR", cluster.service_cidr.as_deref());
        if cluster_cidrs.is_empty() && service_cidrs.is_empty() {
            self.wrong(
                "SUBMARINER_CLUSTERCIDR",
                "and SUBMARINER_SERVICECIDR name no network; set at least one",
            );
        }
        let nat_enabled = self.flag("SUBMARINER_NATENABLED", cluster.nat_enabled.as_deref());
        let in_clear = self.flag("SUBMARINER_ALLOWCLEARTOPUBLIC", cluster.clear_to_public.as_deref());
        let udp_port = self.port("CE_IPSEC_NATTPORT", cluster.natt_port.as_deref());
        let metrics_port = self.number("SUBMARINER_METRICSPORT", process.metrics_port.as_deref());
        let (lease, health, task) = (self.lease(lease), self.health(health), self.task(process));
        let ipsec = self.ipsec(ipsec);
        // INVARIANT: everything was read before the first `?`, so that every mistake is named.
        Some(Config {
            cluster: id?,
            namespace: namespace?,
            node_name: node_name?,
            hub: hub?,
            psk: psk(cluster),
            ipsec,
            driver: driver(cluster.cable_driver.as_deref()),
            wireguard_carrier: text(cluster.wireguard_carrier.as_deref()).into(),
            public_ip: text(cluster.public_ip.as_deref()).to_owned(),
            nat_enabled: nat_enabled.unwrap_or(false),
            air_gapped: cluster.air_gapped.as_deref() == Some("true"),
            in_clear: if in_clear == Some(true) { InClear::Anywhere } else { InClear::Private },
            udp_port: udp_port.unwrap_or(subm_api::backend_config::DEFAULT_UDP_PORT),
            metrics_port: metrics_port.unwrap_or(DEFAULT_METRICS_PORT),
            pod_name: process.pod_name.clone().filter(|name| !name.is_empty()),
            kubeconfig: process.kubeconfig.clone(),
            cluster_cidrs,
            service_cidrs,
            lease,
            health,
            task,
        })
    }

    fn wrong(&mut self, name: &'static str, what: impl Into<String>) {
        self.0.push(InvalidSetting { name, what: what.into() });
    }

    fn required(&mut self, name: &'static str, value: Option<&str>) -> Option<String> {
        let value = text(value);
        if value.is_empty() {
            self.wrong(name, "must be set");
        }
        Some(value.to_owned()).filter(|value| !value.is_empty())
    }

    fn cluster_id(&mut self, value: Option<&str>) -> Option<ClusterId> {
        let parsed = self.required("SUBMARINER_CLUSTERID", value)?.parse();
        parsed
            .map_err(|cause: subm_types::cluster::InvalidClusterId| {
                self.wrong("SUBMARINER_CLUSTERID", format!("cannot be used: {cause}"));
            })
            .ok()
    }

    fn no_globalnet(&mut self, value: Option<&str>) {
        if !text(value).is_empty() {
            self.wrong(
                "SUBMARINER_GLOBALCIDR",
                "asks for Globalnet, which this version does not have; unset it",
            );
        }
    }

    fn networks(&mut self, name: &'static str, value: Option<&str>) -> Vec<IpNet> {
        let items = text(value).split(',').map(str::trim).filter(|item| !item.is_empty());
        let mut out = Vec::new();
        for item in items {
            match item.parse::<IpNet>() {
                Ok(net) => out.push(net.trunc()),
                Err(_) => self.wrong(name, format!("has {item:?}, which is no network such as 10.0.0.0/16")),
            }
        }
        out
    }

    /// COMPAT: absent is the default, set but empty is an error.
    fn flag(&mut self, name: &'static str, value: Option<&str>) -> Option<bool> {
        let value = value?;
        let parsed = subm_api::backend_config::parse_bool(value);
        if parsed.is_none() {
            self.wrong(name, format!("is {value:?}; write true or false"));
        }
        parsed
    }

    fn number<T: std::str::FromStr>(&mut self, name: &'static str, value: Option<&str>) -> Option<T> {
        let value = value?;
        let parsed = value.trim().parse().ok();
        if parsed.is_none() {
            self.wrong(name, format!("is {value:?}; write a whole number that is not too large"));
        }
        parsed
    }

    fn port(&mut self, name: &'static str, value: Option<&str>) -> Option<u16> {
        let value = value.filter(|value| !value.is_empty())?;
        let parsed = subm_api::backend_config::parse_port(value);
        if parsed.is_none() {
            self.wrong(name, format!("is {value:?}; write a port from 1 to 65535"));
        }
        parsed
    }

    /// COMPAT: absent and 0 are the default.
    fn seconds(&mut self, name: &'static str, value: Option<&str>, default: Duration) -> Duration {
        match self.number::<u32>(name, value) {
            None | Some(0) => default,
            Some(seconds) => Duration::from_secs(u64::from(seconds)),
        }
    }

    fn lease(&mut self, settings: &LeaseSettings) -> LeaseTiming {
        let default = LeaseTiming::DEFAULT;
        let duration = settings.lease_duration.as_deref();
        let deadline = settings.lease_renew_deadline.as_deref();
        let retry = settings.lease_retry_period.as_deref();
        let timing = LeaseTiming {
            duration: self.seconds("LEADERSHIP_LEASEDURATION", duration, default.duration),
            renew_deadline: self.seconds("LEADERSHIP_RENEWDEADLINE", deadline, default.renew_deadline),
            retry: self.seconds("LEADERSHIP_RETRYPERIOD", retry, default.retry),
        };
        if let Err(cause) = timing.checked() {
            self.wrong("LEADERSHIP_LEASEDURATION", format!("does not fit the others: {cause}"));
        }
        timing
    }

    fn health(&mut self, settings: &HealthSettings) -> Option<HealthCheck> {
        let enabled = settings.health_check_enabled.as_deref();
        let interval = settings.health_check_interval.as_deref();
        let losses = settings.health_check_max_packet_loss_count.as_deref();
        let on = self.flag("SUBMARINER_HEALTHCHECKENABLED", enabled).unwrap_or(true);
        let interval = self.seconds("SUBMARINER_HEALTHCHECKINTERVAL", interval, Duration::from_secs(1));
        let losses = self.number("SUBMARINER_HEALTHCHECKMAXPACKETLOSSCOUNT", losses);
        on.then(|| HealthCheck { interval, losses: losses.filter(|count| *count > 0).unwrap_or(5) })
    }

    fn ipsec(&mut self, settings: &IpsecArguments) -> IpsecConfig {
        let default = IpsecConfig::default();
        let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        match text(settings.auth_mode.as_deref()) {
            "" | "psk" => {}
            other => {
                self.wrong("CE_IPSEC_AUTHMODE", format!("is {other:?}; this version has psk only"));
            }
        }
        let directory = given(&settings.ipsec_directory).unwrap_or(default.directory);
        if !directory.is_absolute() {
            self.wrong("SUBMARINER_IPSEC_DIRECTORY", "must be an absolute path");
        }
        let mut flag = |name, value: &Option<String>| {
            // COMPAT: whoever deploys the Go implementation leaves these empty.
            let value = value.as_deref().filter(|value| !value.is_empty());
            self.flag(name, value).unwrap_or(false)
        };
        IpsecConfig {
            debug: flag("CE_IPSEC_DEBUG", &settings.ipsec_debug),
            encapsulated: flag("CE_IPSEC_FORCEENCAPS", &settings.force_encaps),
            prefers_server: flag("CE_IPSEC_PREFERREDSERVER", &settings.preferred_server),
            log_file: given(&settings.ipsec_log_file),
            directory,
        }
    }

    fn hub(&mut self, settings: &HubArguments) -> Option<HubSettings> {
        let server = self.required("BROKER_K8S_APISERVER", settings.hub_server.as_deref());
        let namespace = self.required("BROKER_K8S_REMOTENAMESPACE", settings.hub_namespace.as_deref());
        let insecure = self.flag("BROKER_K8S_INSECURE", settings.hub_insecure.as_deref()).unwrap_or(false);
        let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        let token =
            settings.hub_token.as_ref().map(|token| token.0.clone()).filter(|token| !token.is_empty());
        let secret = given(&settings.hub_secret).map(|name| secret_directory(&name));
        if token.is_none() && secret.is_none() {
            self.wrong(
                "BROKER_K8S_SECRET",
                "must be set: without it and BROKER_K8S_APISERVERTOKEN the hub refuses",
            );
        }
        let (apiserver, namespace, ca) = (server?, namespace?, given(&settings.hub_ca));
        Some(HubSettings { apiserver, token, namespace, ca, insecure, secret })
    }

    fn task(&mut self, process: &ProcessSettings) -> Task {
        self.flag("SUBMARINER_HALT_ON_CERT_ERROR", process.halt_on_cert_error.as_deref());
        match self.flag("SUBMARINER_UNINSTALL", process.uninstall.as_deref()) {
            Some(true) => {
                if process.dry_run {
                    self.wrong(
                        "SUBMARINER_UNINSTALL",
                        "cannot be told without being done; drop it or --dry-run",
                    );
                }
                Task::Uninstall
            }
            Some(false) | None if process.dry_run => Task::DryRun,
            Some(false) | None => Task::Run,
        }
    }
}

fn text(value: Option<&str>) -> &str {
    value.unwrap_or_default().trim()
}

/// COMPAT: no driver means libreswan, and case does not matter.
fn driver(name: Option<&str>) -> Backend {
    let name = text(name).to_lowercase();
    Backend::from(if name.is_empty() { "libreswan" } else { name.as_str() })
}

/// COMPAT: a mounted Secret replaces the text, and an empty text is another key than none.
fn psk(settings: &ClusterSettings) -> Psk {
    let secret = settings.psk_secret.as_deref().filter(|name| !name.is_empty());
    match (secret, &settings.psk) {
        (Some(name), _) => Psk::Mounted(secret_directory(name).join("psk")),
        (None, Some(text)) if text.0.is_empty() => Psk::Empty,
        (None, Some(text)) => Psk::Text(Zeroizing::new(text.0.clone())),
        (None, None) => Psk::Unset,
    }
}

/// COMPAT: Secrets are mounted below this directory. A name with a slash is a directory of its own.
fn secret_directory(name: &str) -> PathBuf {
    if name.contains('/') { PathBuf::from(name) } else { HubSettings::secret_directory(name) }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
