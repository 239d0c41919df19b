//! Flags and environment as text, under the names of the Go implementation.

use std::fmt;
use std::path::PathBuf;

use clap::Args;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Flags and environment of the gateway, as they stand. The names are those of the Go implementation.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// The cluster that this gateway belongs to.
    #[command(flatten)]
    pub(super) cluster: ClusterSettings,
    /// The hub.
    #[command(flatten)]
    pub(super) hub: HubArguments,
    /// Leadership.
    #[command(flatten)]
    pub(super) lease: LeaseSettings,
    /// Health checks.
    #[command(flatten)]
    pub(super) health: HealthSettings,
    /// IPsec.
    #[command(flatten)]
    pub(super) ipsec: IpsecArguments,
    /// This process.
    #[command(flatten)]
    pub(super) process: ProcessSettings,
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct ClusterSettings {
    /// Id of this cluster, unique in the clusterset
    #[arg(long, env = "SUBMARINER_CLUSTERID")]
    pub(super) cluster_id: Option<String>,
    /// Namespace of Submariner's objects
    #[arg(long, env = "SUBMARINER_NAMESPACE")]
    pub(super) namespace: Option<String>,
    /// Networks of pods, comma separated
    #[arg(long, env = "SUBMARINER_CLUSTERCIDR")]
    pub(super) cluster_cidr: Option<String>,
    /// Networks of services, comma separated
    #[arg(long, env = "SUBMARINER_SERVICECIDR")]
    pub(super) service_cidr: Option<String>,
    /// Networks of Globalnet, comma separated; empty without it
    #[arg(long, env = "SUBMARINER_GLOBALCIDR")]
    pub(super) global_cidr: Option<String>,
    /// What carries the cables: libreswan, vxlan or wireguard
    #[arg(long, env = "SUBMARINER_CABLEDRIVER")]
    pub(super) cable_driver: Option<String>,
    /// Who carries the packets of wireguard cables: kernel or userspace; auto prefers the kernel
    #[arg(long, env = "SUBMARINER_WIREGUARDCARRIER")]
    pub(super) wireguard_carrier: Option<String>,
    /// How the public address is found, the preferred first: api:HOST/PATH, dns:NAME, ipv4:ADDRESS, ipv6:ADDRESS,
    /// lb:SERVICE, with commas between; some public services where nothing is set
    #[arg(long, env = "SUBMARINER_PUBLICIP")]
    pub(super) public_ip: Option<String>,
    /// Whether a NAT is in front of the node
    #[arg(long, env = "SUBMARINER_NATENABLED")]
    pub(super) nat_enabled: Option<String>,
    /// UDP port of the tunnels, unless the node names one
    #[arg(long, env = "CE_IPSEC_NATTPORT")]
    pub(super) natt_port: Option<String>,
    /// The secret that all clusters share; better: a Secret
    #[arg(long, env = "CE_IPSEC_PSK", hide_env_values = true)]
    pub(super) psk: Option<Secret>,
    /// Name of the Secret with `psk`, or the directory where it is mounted
    #[arg(long, env = "CE_IPSEC_PSKSECRET")]
    pub(super) psk_secret: Option<String>,
    /// `true` lets a cable that does not encrypt (vxlan) lead to addresses of the internet; else there is none
    #[arg(long, env = "SUBMARINER_ALLOWCLEARTOPUBLIC")]
    pub(super) clear_to_public: Option<String>,
    /// `true` where nothing outside the clusters can be reached
    #[arg(long, env = "AIR_GAPPED_DEPLOYMENT")]
    pub(super) air_gapped: Option<String>,
}

#[expect(clippy::struct_field_names, reason = "flags take their names from the fields")]
#[derive(Debug, Clone, Default, Args)]
pub(super) struct HubArguments {
    /// The hub's API server: HOST[:PORT][/PATH]
    #[arg(long, env = "BROKER_K8S_APISERVER")]
    pub(super) hub_server: Option<String>,
    /// The hub's bearer token; better: a Secret
    #[arg(long, env = "BROKER_K8S_APISERVERTOKEN", hide_env_values = true)]
    pub(super) hub_token: Option<Secret>,
    /// The hub's namespace
    #[arg(long, env = "BROKER_K8S_REMOTENAMESPACE")]
    pub(super) hub_namespace: Option<String>,
    /// The hub's certificate authority: base64 of PEM
    #[arg(long, env = "BROKER_K8S_CA", hide_env_values = true)]
    pub(super) hub_ca: Option<String>,
    /// Trust the hub whatever certificate it shows
    #[arg(long, env = "BROKER_K8S_INSECURE")]
    pub(super) hub_insecure: Option<String>,
    /// Name of the Secret with `token` and `ca.crt`, or the directory where it is mounted
    #[arg(long, env = "BROKER_K8S_SECRET")]
    pub(super) hub_secret: Option<String>,
}

#[expect(clippy::struct_field_names, reason = "flags take their names from the fields")]
#[derive(Debug, Clone, Default, Args)]
pub(super) struct LeaseSettings {
    /// Seconds for which a lease that is not renewed keeps others away
    #[arg(long, env = "LEADERSHIP_LEASEDURATION")]
    pub(super) lease_duration: Option<String>,
    /// Seconds for which the holder goes on without being able to renew
    #[arg(long, env = "LEADERSHIP_RENEWDEADLINE")]
    pub(super) lease_renew_deadline: Option<String>,
    /// Seconds between attempts
    #[arg(long, env = "LEADERSHIP_RETRYPERIOD")]
    pub(super) lease_retry_period: Option<String>,
}

#[expect(clippy::struct_field_names, reason = "flags take their names from the fields")]
#[derive(Debug, Clone, Default, Args)]
pub(super) struct HealthSettings {
    /// Whether cables are probed
    #[arg(long, env = "SUBMARINER_HEALTHCHECKENABLED")]
    pub(super) health_check_enabled: Option<String>,
    /// Seconds between round-trip times in the statistics
    #[arg(long, env = "SUBMARINER_HEALTHCHECKINTERVAL")]
    pub(super) health_check_interval: Option<String>,
    /// Intervals without answer after which the status says so in full
    #[arg(long, env = "SUBMARINER_HEALTHCHECKMAXPACKETLOSSCOUNT")]
    pub(super) health_check_max_packet_loss_count: Option<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct IpsecArguments {
    /// Whether the IKE daemon tells everything that it does
    #[arg(long, env = "CE_IPSEC_DEBUG")]
    pub(super) ipsec_debug: Option<String>,
    /// Whether ESP always goes in UDP, be there a NAT or not
    #[arg(long, env = "CE_IPSEC_FORCEENCAPS")]
    pub(super) force_encaps: Option<String>,
    /// File that the IKE daemon logs to
    #[arg(long, env = "CE_IPSEC_LOGFILE")]
    pub(super) ipsec_log_file: Option<PathBuf>,
    /// Whether this end wants to be called rather than to call, unless the node says otherwise
    #[arg(long, env = "CE_IPSEC_PREFERREDSERVER")]
    pub(super) preferred_server: Option<String>,
    /// How IPsec ends prove who they are: psk
    #[arg(long, env = "CE_IPSEC_AUTHMODE")]
    pub(super) auth_mode: Option<String>,
    /// Directory of the IKE daemon's files, which outlive this process
    #[arg(long, env = "SUBMARINER_IPSEC_DIRECTORY")]
    pub(super) ipsec_directory: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub(super) struct ProcessSettings {
    /// Name of the Node object
    #[arg(long, env = "NODE_NAME")]
    pub(super) node_name: Option<String>,
    /// Name of this pod
    #[arg(long, env = "POD_NAME")]
    pub(super) pod_name: Option<String>,
    /// Port of /metrics, /healthz, /readyz and /debug; 0 for none
    #[arg(long, env = "SUBMARINER_METRICSPORT")]
    pub(super) metrics_port: Option<String>,
    /// 2 is normal, 3 says why, 4 says what libraries do
    #[arg(long, short = 'v', env = "SUBMARINER_VERBOSITY")]
    pub(super) verbosity: Option<String>,
    /// `true` counts as verbosity 3
    #[arg(long, env = "SUBMARINER_DEBUG")]
    pub(super) debug: Option<String>,
    /// Accepted and without effect: the authority is read again when it changes, so that nothing need end for it
    #[arg(long, env = "SUBMARINER_HALT_ON_CERT_ERROR")]
    pub(super) halt_on_cert_error: Option<String>,
    /// Remove everything that this program made on the node and in the cluster, and end
    #[arg(long, env = "SUBMARINER_UNINSTALL")]
    pub(super) uninstall: Option<String>,
    /// The cluster's API, where the pod's own credential is not to be used
    #[arg(long, env = "KUBECONFIG")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Log what would be done to the kernel if this were the active gateway, and do nothing, there or in any API
    #[arg(long)]
    pub(super) dry_run: bool,
}
