//! The environment of a daemon, exactly as its DaemonSet gives it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use subm_lab::STATE_DIR;

use super::Kind;
use crate::api::{Api, Apis, BROKER_NAMESPACE, OPERATOR_NAMESPACE, gateway_rules, route_agent_rules, token};
use crate::settings::Settings;
use crate::topology::{Cluster, Node, shown};

/// Where Secrets of Submariner's Pods are mounted.
const SECRETS: &str = "/run/secrets/submariner.io";

/// The name of a daemon's Pod.
pub(super) fn pod_name(kind: Kind, node: &Node) -> String {
    format!("submariner-{}-{}", kind.name(), node.name)
}

/// Names and values, with credentials of the daemon's own in it.
pub(super) fn of(
    kind: Kind,
    settings: &Settings,
    (cluster, node): (&Cluster, &Node),
    apis: &Apis,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let home = apis.of(&cluster.name)?;
    let mut environment = vec![
        ("SUBMARINER_NAMESPACE", OPERATOR_NAMESPACE.to_owned()),
        ("SUBMARINER_CLUSTERID", cluster.name.clone()),
        ("SUBMARINER_CLUSTERCIDR", shown(cluster.pods())),
        ("SUBMARINER_SERVICECIDR", shown(cluster.services())),
        ("SUBMARINER_GLOBALCIDR", String::new()),
        ("SUBMARINER_DEBUG", "false".to_owned()),
        ("SUBMARINER_HEALTHCHECKENABLED", "true".to_owned()),
        ("SUBMARINER_HEALTHCHECKINTERVAL", "1".to_owned()),
        ("SUBMARINER_HEALTHCHECKMAXPACKETLOSSCOUNT", "5".to_owned()),
        ("NODE_NAME", node.name.clone()),
        ("POD_NAME", pod_name(kind, node)),
        ("KUBECONFIG", kubeconfig(kind, home, node)?.display().to_string()),
    ];
    match kind {
        Kind::RouteAgent => environment.extend([
            ("SUBMARINER_NETWORKPLUGIN", "generic".to_owned()),
            ("SUBMARINER_PROFILEPORT", kind.admin_port().to_string()),
        ]),
        Kind::Gateway => environment.extend(gateway(settings, cluster, apis.hub()?)?),
    }
    Ok(environment)
}

fn gateway(settings: &Settings, cluster: &Cluster, hub: &Api) -> anyhow::Result<Vec<(&'static str, String)>> {
    let public = cluster.public().map(|address| format!("ipv4:{address}")).unwrap_or_default();
    Ok(vec![
        ("SUBMARINER_CABLEDRIVER", settings.cable_driver.clone()),
        ("SUBMARINER_NATENABLED", cluster.public().is_some().to_string()),
        ("SUBMARINER_PUBLICIP", public),
        ("SUBMARINER_BROKER", "k8s".to_owned()),
        ("SUBMARINER_METRICSPORT", Kind::Gateway.admin_port().to_string()),
        ("SUBMARINER_HALT_ON_CERT_ERROR", "true".to_owned()),
        ("AIR_GAPPED_DEPLOYMENT", "true".to_owned()),
        ("BROKER_K8S_APISERVER", hub.endpoint_for(cluster.families)),
        ("BROKER_K8S_REMOTENAMESPACE", BROKER_NAMESPACE.to_owned()),
        ("BROKER_K8S_SECRET", mount_hub_secret(cluster, hub)?),
        ("BROKER_K8S_INSECURE", "false".to_owned()),
        ("CE_IPSEC_PSK", String::new()),
        ("CE_IPSEC_PSKSECRET", mount_preshared_key()?),
        ("CE_IPSEC_NATTPORT", "4500".to_owned()),
        ("CE_IPSEC_DEBUG", "false".to_owned()),
    ])
}

/// The name of the Secret that all clusters share.
const PRESHARED_KEY: &str = "submariner-ipsec-psk";

/// Where what all clusters share lies, as the Secret would be mounted.
pub(crate) fn preshared_key_file() -> PathBuf {
    Path::new(SECRETS).join(PRESHARED_KEY).join("psk")
}

/// Puts the secret that all clusters share there, and tells the Secret's name.
fn mount_preshared_key() -> anyhow::Result<String> {
    let path = preshared_key_file();
    if !path.exists() {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(SECRETS)))?;
        write_secret(&path, &token()?)?;
    }
    Ok(PRESHARED_KEY.to_owned())
}

/// Puts the member's credential where the Secret would be mounted, and tells the Secret's name.
fn mount_hub_secret(cluster: &Cluster, hub: &Api) -> anyhow::Result<String> {
    let name = format!("submariner-broker-secret-{}", cluster.name);
    let directory = Path::new(SECRETS).join(&name);
    fs::create_dir_all(&directory)?;
    write_secret(&directory.join("token"), &hub.grant_member(&cluster.name)?)?;
    write_secret(&directory.join("ca.crt"), hub.authority())?;
    Ok(name)
}

fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| path.display().to_string())
}

/// A way to the API at home for this daemon alone.
fn kubeconfig(kind: Kind, home: &Api, node: &Node) -> anyhow::Result<PathBuf> {
    let rules = match kind {
        Kind::Gateway => gateway_rules(&node.name),
        Kind::RouteAgent => route_agent_rules(),
    };
    let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:submariner-{}", kind.name());
    let token = home.grant(&user, rules)?;
    let directory = Path::new(STATE_DIR).join("credentials");
    fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{}-{}.kubeconfig", node.name, kind.name()));
    write_secret(&path, &home.kubeconfig(&token))?;
    Ok(path)
}
