//! A credential for one cluster: a ServiceAccount with the role of members, as `subctl join` makes it.

#![expect(clippy::print_stdout, reason = "a kubeconfig is printed")]

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subm_kube::Access;
use subm_types::ClusterId;

use crate::folder::Folder;
use crate::hub::MEMBER_ROLE;
use crate::settings::Settings;

const PATIENCE: u32 = 100;

/// Makes the credential of a cluster and prints it as a kubeconfig; a second time it prints the same one.
pub(crate) async fn add(settings: &Settings, cluster: &ClusterId) -> anyhow::Result<()> {
    let folder = Folder::new(&settings.folder);
    let path = folder.admin_kubeconfig();
    let namespace = &settings.namespace;
    let connection = Access::kubeconfig(&path, namespace).await?.connect()?;
    let account = format!("cluster-{cluster}");
    let secret = format!("{account}-token");
    let apply = Maker { client: connection.client, namespace };
    apply.make::<ServiceAccount>(&account, json!({})).await?;
    let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": namespace});
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": MEMBER_ROLE},
        "subjects": [subject],
    });
    apply.make::<RoleBinding>(&format!("{account}-{MEMBER_ROLE}"), binding).await?;
    let annotations = json!({"kubernetes.io/service-account.name": account});
    let wanted =
        json!({"type": "kubernetes.io/service-account-token", "metadata": {"annotations": annotations}});
    apply.make::<Secret>(&secret, wanted).await?;
    let secrets: Api<Secret> = Api::namespaced(apply.client, namespace);
    for _ in 0..PATIENCE {
        let data = secrets.get(&secret).await.context("the Secret of the token")?.data.unwrap_or_default();
        if let Some(token) = data.get("token") {
            let token = String::from_utf8(token.0.clone()).context("the token is no text")?;
            print!("{}", kubeconfig(&fs::read_to_string(&path)?, cluster, &token)?);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the hub did not put a token into the Secret {namespace}/{secret}")
}

struct Maker<'a> {
    client: Client,
    namespace: &'a str,
}

impl Maker<'_> {
    async fn make<K>(&self, name: &str, mut wanted: Value) -> anyhow::Result<()>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        wanted["apiVersion"] = json!(K::api_version(&K::DynamicType::default()));
        wanted["kind"] = json!(K::kind(&K::DynamicType::default()));
        wanted["metadata"]["name"] = json!(name);
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let applied =
            api.patch(name, &PatchParams::apply("submariner-broker").force(), &Patch::Apply(&wanted)).await;
        applied.map(drop).with_context(|| format!("cannot write {} {name}", wanted["kind"]))
    }
}

/// The administrator's kubeconfig with another token.
fn kubeconfig(admin: &str, cluster: &ClusterId, token: &str) -> anyhow::Result<String> {
    let file = kube::config::Kubeconfig::from_yaml(admin).context("the administrator's kubeconfig")?;
    let found =
        file.clusters.first().and_then(|named| named.cluster.as_ref()).context("it names no server")?;
    let server = found.server.as_deref().context("it names no server")?;
    let authority = found.certificate_authority_data.as_deref().unwrap_or_default();
    let authority = STANDARD.decode(authority).context("its authority")?;
    let authority = String::from_utf8(authority).context("its authority")?;
    Ok(subm_apiserver::kubeconfig(server, &authority, token, &format!("cluster-{cluster}")))
}
