//! What the daemon is told: environment variables as the operator sets them, checked all at once.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use subm_route::{NetworkPlugin, NodeName};
use subm_runtime::Verbosity;
use subm_types::{CidrSet, ClusterId};

/// The port of the admin endpoints where none is set: that of the Go implementation's profiler.
const DEFAULT_ADMIN_PORT: u16 = 32782;
/// COMPAT: the interval is given in minutes here, other than to the gateway.
const INTERVAL_UNIT: Duration = Duration::from_mins(1);
const DEFAULT_LOSSES: u32 = 5;

/// What was given, as it was given. Nothing is checked yet, so that every error can be told.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Arguments {
    /// The kubeconfig of the cluster's API; without it, that of the pod.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// The name of this node's object.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: Option<String>,
    /// The id of this cluster.
    #[arg(long, env = "SUBMARINER_CLUSTERID")]
    pub cluster_id: Option<String>,
    /// The namespace of Endpoints and RouteAgents.
    #[arg(long, env = "SUBMARINER_NAMESPACE")]
    pub namespace: Option<String>,
    /// The networks of this cluster's pods, separated by commas.
    #[arg(long, env = "SUBMARINER_CLUSTERCIDR")]
    pub cluster_cidr: Option<String>,
    /// The networks of this cluster's services, separated by commas.
    #[arg(long, env = "SUBMARINER_SERVICECIDR")]
    pub service_cidr: Option<String>,
    /// The networks of Globalnet, which this version has not.
    #[arg(long, env = "SUBMARINER_GLOBALCIDR")]
    pub global_cidr: Option<String>,
    /// Who connects the pods of this cluster.
    #[arg(long, env = "SUBMARINER_NETWORKPLUGIN")]
    pub network_plugin: Option<String>,
    /// The port of /metrics, /healthz, /readyz and /debug; 0 for none.
    #[arg(long, env = "SUBMARINER_PROFILEPORT")]
    pub profile_port: Option<String>,
    /// Whether remote gateways are probed from this node.
    #[arg(long, env = "SUBMARINER_HEALTHCHECKENABLED")]
    pub health_check_enabled: Option<String>,
    /// Minutes between samples of the round-trip time.
    #[arg(long, env = "SUBMARINER_HEALTHCHECKINTERVAL")]
    pub health_check_interval: Option<String>,
    /// Probes in a row that may stay unanswered.
    #[arg(long, env = "SUBMARINER_HEALTHCHECKMAXPACKETLOSSCOUNT")]
    pub health_check_max_packet_loss_count: Option<String>,
    /// Clean-up, which this version does not do.
    #[arg(long, env = "SUBMARINER_UNINSTALL")]
    pub uninstall: Option<String>,
    /// Waiting as an init container, which this version does not do.
    #[arg(long, env = "SUBMARINER_WAITFORNODE")]
    pub wait_for_node: Option<String>,
    /// How much is logged: 2 normal, 3 debug, 4 trace.
    #[arg(long, short = 'v', env = "SUBMARINER_VERBOSITY")]
    pub verbosity: Option<String>,
    /// `true` for debug.
    #[arg(long, env = "SUBMARINER_DEBUG")]
    pub debug: Option<String>,
}

impl Arguments {
    /// How much is to be logged.
    pub fn how_verbose(&self) -> Verbosity {
        Verbosity::from_settings(self.verbosity.as_deref(), self.debug.as_deref())
    }
}

/// How remote gateways are probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthCheck {
    /// The time between samples of the round-trip time.
    pub sample_interval: Duration,
    /// Probes in a row that may stay unanswered.
    pub losses: NonZeroU32,
}

/// What the daemon was told, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The kubeconfig; `None` takes the pod's.
    pub kubeconfig: Option<PathBuf>,
    /// This node.
    pub node: NodeName,
    /// This cluster.
    pub cluster: ClusterId,
    /// The namespace of Endpoints and RouteAgents.
    pub namespace: String,
    /// The networks of pods.
    pub cluster_cidrs: CidrSet,
    /// The networks of services.
    pub service_cidrs: CidrSet,
    /// Who connects the pods.
    pub plugin: NetworkPlugin,
    /// How remote gateways are probed; `None` for not at all.
    pub health_check: Option<HealthCheck>,
    /// The port of the admin endpoints; 0 for none.
    pub admin_port: u16,
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
        let mut faults = Faults::default();
        faults.absent(&given);
        let enabled = faults.boolean("SUBMARINER_HEALTHCHECKENABLED", given.health_check_enabled.as_deref());
        let minutes =
            faults.number("SUBMARINER_HEALTHCHECKINTERVAL", given.health_check_interval.as_deref(), 1_u32);
        let losses = faults.number(
            "SUBMARINER_HEALTHCHECKMAXPACKETLOSSCOUNT",
            given.health_check_max_packet_loss_count.as_deref(),
            DEFAULT_LOSSES,
        );
        let health_check = HealthCheck {
            sample_interval: INTERVAL_UNIT * minutes.max(1),
            losses: NonZeroU32::new(losses).unwrap_or(NonZeroU32::MIN),
        };
        let settings = Self {
            node: NodeName(faults.required("NODE_NAME", given.node_name)),
            namespace: faults.required("SUBMARINER_NAMESPACE", given.namespace),
            cluster_cidrs: faults.networks("SUBMARINER_CLUSTERCIDR", given.cluster_cidr.as_deref()),
            service_cidrs: faults.networks("SUBMARINER_SERVICECIDR", given.service_cidr.as_deref()),
            plugin: NetworkPlugin::from(given.network_plugin.as_deref().unwrap_or_default().trim()),
            health_check: enabled.unwrap_or(true).then_some(health_check),
            admin_port: faults.number(
                "SUBMARINER_PROFILEPORT",
                given.profile_port.as_deref(),
                DEFAULT_ADMIN_PORT,
            ),
            kubeconfig: given.kubeconfig.filter(|path| !path.as_os_str().is_empty()),
            cluster: match faults.cluster(given.cluster_id) {
                Some(cluster) => cluster,
                None => return Err(InvalidSettings(faults.0)),
            },
        };
        if faults.0.is_empty() { Ok(settings) } else { Err(InvalidSettings(faults.0)) }
    }
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn required(&mut self, name: &str, value: Option<String>) -> String {
        let value = value.unwrap_or_default();
        if value.trim().is_empty() {
            self.0.push(format!("{name} is not set"));
        }
        value.trim().to_owned()
    }

    fn cluster(&mut self, value: Option<String>) -> Option<ClusterId> {
        let text = self.required("SUBMARINER_CLUSTERID", value);
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|error| self.0.push(format!("SUBMARINER_CLUSTERID: {error}"))).ok()
    }

    fn networks(&mut self, name: &str, value: Option<&str>) -> CidrSet {
        let texts = value.unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty());
        let (mut nets, mut count) = (Vec::new(), 0);
        for text in texts {
            count += 1;
            match text.parse::<IpNet>() {
                Ok(net) => nets.push(net),
                Err(_) => self.0.push(format!("{name}: {text:?} is no network such as 10.0.0.0/16")),
            }
        }
        if count == 0 {
            self.0.push(format!("{name} is not set"));
        }
        nets.into_iter().collect()
    }

    fn number<T: FromStr>(&mut self, name: &str, value: Option<&str>, default: T) -> T {
        let Some(text) = value.map(str::trim).filter(|text| !text.is_empty()) else { return default };
        text.parse().unwrap_or_else(|_| {
            self.0.push(format!("{name}: {text:?} is not a whole number in range"));
            default
        })
    }

    fn boolean(&mut self, name: &str, value: Option<&str>) -> Option<bool> {
        let text = value.map(str::trim).filter(|text| !text.is_empty())?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => Some(true),
            "false" | "f" | "0" => Some(false),
            _ => {
                self.0.push(format!("{name}: {text:?} is neither true nor false"));
                None
            }
        }
    }

    /// What this version has not must not be taken for done.
    fn absent(&mut self, given: &Arguments) {
        if given.global_cidr.as_deref().is_some_and(|text| !text.trim().is_empty()) {
            self.0
                .push("SUBMARINER_GLOBALCIDR is set, but this version has no Globalnet; unset it".to_owned());
        }
        for (name, value) in
            [("SUBMARINER_UNINSTALL", &given.uninstall), ("SUBMARINER_WAITFORNODE", &given.wait_for_node)]
        {
            if self.boolean(name, value.as_deref()) == Some(true) {
                self.0.push(format!("{name} is true, but this version has no such mode; unset it"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Arguments {
        let some = |text: &str| Some(text.to_owned());
        Arguments {
            node_name: some("east-worker"),
            cluster_id: some("east"),
            namespace: some("submariner-operator"),
            cluster_cidr: some("10.1.0.0/16, fd01::/48"),
            service_cidr: some("100.1.0.0/16"),
            ..Arguments::default()
        }
    }

    #[test]
    fn what_is_not_set_has_the_value_of_the_go_implementation() {
        let settings = Settings::try_from(given()).unwrap();
        assert_eq!(settings.admin_port, 32782);
        assert_eq!(settings.plugin, NetworkPlugin::Known("generic"));
        assert_eq!(settings.cluster_cidrs.to_string(), "10.1.0.0/16, fd01::/48");
        let check = settings.health_check.unwrap();
        assert_eq!((check.sample_interval, check.losses.get()), (Duration::from_mins(1), 5));
    }

    #[test]
    fn every_error_is_told_at_once() {
        let given = Arguments {
            node_name: None,
            cluster_id: Some("East".to_owned()),
            cluster_cidr: Some("10.1.0.0/33".to_owned()),
            service_cidr: Some(" , ".to_owned()),
            profile_port: Some("70000".to_owned()),
            uninstall: Some("true".to_owned()),
            global_cidr: Some("242.0.0.0/8".to_owned()),
            health_check_enabled: Some("maybe".to_owned()),
            ..given()
        };
        let text = Settings::try_from(given).unwrap_err().to_string();
        for name in [
            "NODE_NAME",
            "SUBMARINER_CLUSTERID",
            "SUBMARINER_CLUSTERCIDR",
            "SUBMARINER_SERVICECIDR",
            "SUBMARINER_PROFILEPORT",
            "SUBMARINER_UNINSTALL",
            "SUBMARINER_GLOBALCIDR",
            "SUBMARINER_HEALTHCHECKENABLED",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
    }
}
