//! The environment of a daemon, exactly as its DaemonSet gives it, and the Secrets that it names.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use subm_lab::STATE_DIR;

use super::Kind;
use crate::api::{Api, Apis, BROKER_NAMESPACE, OPERATOR_NAMESPACE, token};
use crate::settings::Settings;
use crate::topology::{Cluster, shown};

/// Where Secrets of Submariner's Pods are mounted.
pub(super) const SECRETS_FOLDER: &str = "/run/secrets/submariner.io";
/// The member's credential for the hub.
const BROKER_SECRET: &str = "submariner-broker-secret";
/// The secret that all clusters share.
const PRESHARED_KEY: &str = "submariner-ipsec-psk";
/// The Secrets of gateways, by name.
pub(super) const SECRETS: [&str; 2] = [BROKER_SECRET, PRESHARED_KEY];

/// The variables of a container.
pub(super) fn of(
    kind: Kind,
    settings: &Settings,
    cluster: &Cluster,
    apis: &Apis,
) -> anyhow::Result<Vec<Value>> {
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
    ];
    match kind {
        Kind::RouteAgent => environment.extend([
            ("SUBMARINER_NETWORKPLUGIN", "generic".to_owned()),
            ("SUBMARINER_PROFILEPORT", kind.admin_port().to_string()),
        ]),
        Kind::Gateway => environment.extend(gateway(settings, cluster, apis.hub()?)),
    }
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let own = [field("NODE_NAME", "spec.nodeName"), field("POD_NAME", "metadata.name")];
    let given = environment.into_iter().map(|(name, value)| json!({"name": name, "value": value}));
    Ok(given.chain(own).collect())
}

fn gateway(settings: &Settings, cluster: &Cluster, hub: &Api) -> Vec<(&'static str, String)> {
    let public = cluster.public().map(|address| format!("ipv4:{address}")).unwrap_or_default();
    vec![
        ("SUBMARINER_CABLEDRIVER", settings.cable_driver.clone()),
        ("SUBMARINER_NATENABLED", cluster.public().is_some().to_string()),
        ("SUBMARINER_PUBLICIP", public),
        ("SUBMARINER_BROKER", "k8s".to_owned()),
        ("SUBMARINER_METRICSPORT", Kind::Gateway.admin_port().to_string()),
        ("SUBMARINER_HALT_ON_CERT_ERROR", "true".to_owned()),
        ("AIR_GAPPED_DEPLOYMENT", "true".to_owned()),
        ("BROKER_K8S_APISERVER", hub.endpoint_for(cluster.families)),
        ("BROKER_K8S_REMOTENAMESPACE", BROKER_NAMESPACE.to_owned()),
        ("BROKER_K8S_SECRET", BROKER_SECRET.to_owned()),
        ("BROKER_K8S_INSECURE", "false".to_owned()),
        ("CE_IPSEC_PSK", String::new()),
        ("CE_IPSEC_PSKSECRET", PRESHARED_KEY.to_owned()),
        ("CE_IPSEC_NATTPORT", "4500".to_owned()),
        ("CE_IPSEC_DEBUG", "false".to_owned()),
    ]
}

/// The Secrets of a cluster's gateways: the member's own credential, and the key that all share.
pub(super) fn secrets(cluster: &Cluster, apis: &Apis) -> anyhow::Result<Vec<Value>> {
    let hub = apis.hub()?;
    let secret = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": OPERATOR_NAMESPACE, "name": name}, "data": data});
    let credential = json!({
        "token": STANDARD.encode(hub.grant_member(&cluster.name)?),
        "ca.crt": STANDARD.encode(hub.authority()),
    });
    let key = json!({"psk": STANDARD.encode(preshared_key()?)});
    Ok(vec![secret(BROKER_SECRET, credential), secret(PRESHARED_KEY, key)])
}

/// Where what all clusters share lies, for whoever visits.
pub(crate) fn preshared_key_file() -> PathBuf {
    Path::new(STATE_DIR).join("psk")
}

/// What all clusters share: drawn once.
fn preshared_key() -> anyhow::Result<String> {
    let path = preshared_key_file();
    match fs::read_to_string(&path) {
        Ok(key) => return Ok(key),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    }
    let key = token()?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(key.as_bytes())).with_context(|| path.display().to_string())?;
    Ok(key)
}
