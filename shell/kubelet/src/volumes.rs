//! The files of a Pod's volumes, and where a container has them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use subm_kube::kube::Client;

use crate::api::{ask, list, text};
use crate::cell::Mount;
use crate::environment::{self, Source, Sources};
use crate::refusal::Refusal;

const HOUR: i64 = 3600;

/// The volumes of one Pod.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// The folder of all of them.
    folder: PathBuf,
    /// When each token is to be drawn anew, by its file.
    renew: BTreeMap<PathBuf, Timestamp>,
}

/// The kinds of volumes that are done.
const DONE: [&str; 6] = ["secret", "configMap", "projected", "downwardAPI", "emptyDir", "hostPath"];

/// What a Pod's volumes name.
pub(crate) fn named(pod: &Value) -> Vec<(Source, String)> {
    let mut named = Vec::new();
    for volume in list(pod, "/spec/volumes") {
        let parts = list(volume, "/projected/sources").iter().chain([volume]);
        for part in parts {
            for (source, field, name) in [
                (Source::Secret, "secret", "secretName"),
                (Source::Secret, "secret", "name"),
                (Source::ConfigMap, "configMap", "name"),
            ] {
                named.extend(part[field][name].as_str().map(|name| (source, name.to_owned())));
            }
        }
    }
    named
}

impl Volumes {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, renew: BTreeMap::new() }
    }

    /// Writes what the volumes hold now; what is there already and the same stays untouched.
    pub(crate) async fn fill(
        &mut self,
        client: &Client,
        pod: &Value,
        sources: &Sources,
    ) -> Result<(), Refusal> {
        for volume in list(pod, "/spec/volumes") {
            let name = text(volume, "/name");
            let kind = volume.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
            let unknown = kind.clone().find(|key| *key != "name" && !DONE.contains(key));
            if let Some(unknown) = unknown {
                return Err(Refusal::config(format!(
                    "volume {name:?} is of kind {unknown}, which is not done here"
                )));
            }
            let folder = self.folder.join(name);
            if volume["hostPath"].is_object() {
                continue;
            }
            fs::create_dir_all(&folder).map_err(Refusal::create)?;
            if volume["emptyDir"].is_object() {
                fs::set_permissions(&folder, Permissions::from_mode(0o777)).map_err(Refusal::create)?;
            }
            let files = self.files(client, pod, volume, sources).await?;
            let modes = volume["secret"]["defaultMode"]
                .as_u64()
                .or(volume["configMap"]["defaultMode"].as_u64())
                .or(volume["projected"]["defaultMode"].as_u64())
                .or(volume["downwardAPI"]["defaultMode"].as_u64());
            let mode = modes.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644);
            for (file, bytes) in files {
                write(&folder, &file, &bytes, mode).map_err(Refusal::create)?;
            }
        }
        Ok(())
    }

    async fn files(
        &mut self,
        client: &Client,
        pod: &Value,
        volume: &Value,
        sources: &Sources,
    ) -> Result<Vec<(PathBuf, Vec<u8>)>, Refusal> {
        let mut files = Vec::new();
        for part in list(volume, "/projected/sources").iter().chain([volume]) {
            for (source, field) in [(Source::Secret, "secret"), (Source::ConfigMap, "configMap")] {
                let reference = &part[field];
                let data = reference.is_object().then(|| environment::data(sources, source, reference));
                let data = data.transpose()?.flatten();
                files.extend(chosen(reference, data)?);
            }
            for item in list(part, "/downwardAPI/items") {
                let value = environment::field(pod, text(item, "/fieldRef/fieldPath"))?;
                files.push((text(item, "/path").into(), value.into_bytes()));
            }
            let wanted = &part["serviceAccountToken"];
            let file = self.folder.join(text(volume, "/name")).join(text(wanted, "/path"));
            let due = self.renew.get(&file).is_none_or(|at| *at <= Timestamp::now());
            if wanted.is_object() && due {
                let (token, renew) = token(client, pod, wanted).await?;
                files.push((text(wanted, "/path").into(), token.into_bytes()));
                self.renew.insert(file, renew);
            }
        }
        Ok(files)
    }

    /// Where a container has what of the volumes.
    pub(crate) fn mounts(&self, pod: &Value, container: &Value) -> Result<Vec<Mount>, Refusal> {
        let mount = |mount: &Value| {
            let name = text(mount, "/name");
            let volume = list(pod, "/spec/volumes").iter().find(|volume| volume["name"] == name);
            let volume = volume.ok_or_else(|| Refusal::config(format!("there is no volume {name:?}")))?;
            let host = volume["hostPath"]["path"].as_str();
            let root = host.map_or_else(|| self.folder.join(name), PathBuf::from);
            let sub = text(mount, "/subPath");
            if Path::new(sub).components().any(|part| part.as_os_str() == "..") || sub.starts_with('/') {
                return Err(Refusal::config(format!("subPath {sub:?} leads out of its volume")));
            }
            let from = if sub.is_empty() { root } else { root.join(sub) };
            if host.is_some() && !from.exists() {
                return Err(Refusal::config(format!("hostPath {} is not there", from.display())));
            }
            let given = ["secret", "configMap", "projected", "downwardAPI"];
            let read_only = mount["readOnly"] == true || given.iter().any(|kind| volume[kind].is_object());
            Ok(Mount { from, to: text(mount, "/mountPath").into(), read_only })
        };
        let mut mounts: Vec<Mount> =
            list(container, "/volumeMounts").iter().map(mount).collect::<Result<_, _>>()?;
        // What lies deeper comes later.
        mounts.sort_by(|one, other| one.to.cmp(&other.to));
        Ok(mounts)
    }

    pub(crate) fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::debug!(folder = %self.folder.display(), %error, "volumes stay");
        }
    }
}

/// The files of a Secret or a `ConfigMap`: all keys, or those that are listed.
fn chosen(
    reference: &Value,
    data: Option<BTreeMap<String, Vec<u8>>>,
) -> Result<Vec<(PathBuf, Vec<u8>)>, Refusal> {
    let Some(mut data) = data else { return Ok(Vec::new()) };
    let items = list(reference, "/items");
    if items.is_empty() {
        return Ok(data.into_iter().map(|(key, bytes)| (key.into(), bytes)).collect());
    }
    let mut files = Vec::new();
    for item in items {
        let key = text(item, "/key");
        match data.remove(key) {
            Some(bytes) => files.push((text(item, "/path").into(), bytes)),
            None if reference["optional"] == true => {}
            None => return Err(Refusal::config(format!("references non-existent key {key:?}"))),
        }
    }
    Ok(files)
}

/// A token of the Pod's account, and when it is to be replaced.
async fn token(client: &Client, pod: &Value, wanted: &Value) -> Result<(String, Timestamp), Refusal> {
    let account = match text(pod, "/spec/serviceAccountName") {
        "" => "default",
        account => account,
    };
    let seconds = wanted["expirationSeconds"].as_i64().unwrap_or(HOUR);
    let audiences: Vec<&str> = wanted["audience"].as_str().into_iter().collect();
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]});
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": reference},
    });
    let path =
        format!("/api/v1/namespaces/{}/serviceaccounts/{account}/token", text(pod, "/metadata/namespace"));
    let answer = ask(client, Method::POST, &path, Some(&request)).await;
    let answer = answer
        .map_err(|error| Refusal::config(format!("no token of the service account {account}: {error}")))?;
    let lifetime = SignedDuration::from_secs(seconds * 4 / 5);
    let renew = Timestamp::now().checked_add(lifetime).unwrap_or(Timestamp::MAX);
    Ok((text(&answer, "/status/token").to_owned(), renew))
}

/// Replaces a file at once, so that nobody reads half of it.
fn write(folder: &Path, file: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if file.is_absolute() || file.components().any(|part| part.as_os_str() == "..") {
        return Err(io::Error::other(format!("{} leads out of its volume", file.display())));
    }
    let path = folder.join(file);
    if fs::read(&path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let fresh = path.with_extension("fresh~");
    fs::write(&fresh, bytes)?;
    fs::set_permissions(&fresh, Permissions::from_mode(mode))?;
    fs::rename(fresh, path)
}
