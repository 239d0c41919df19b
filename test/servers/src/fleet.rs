//! Real API servers for a whole run of tests: three kube-apiservers that share nothing but their etcd.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;
use crate::control_plane::{self, Etcd, KubeApiserver, Programs};
use crate::patience::until;

/// Under these they are reached: on loopback, and where tests in network namespaces put a relay.
const ADDRESSES: &[&str] = &["127.0.0.1", "172.30.0.2", "172.31.0.1"];
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Which of the API servers of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one where members meet.
    Hub,
    /// The first member's.
    East,
    /// The second member's.
    West,
}

impl Which {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Hub, Self::East, Self::West];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::East => "east",
            Self::West => "west",
        }
    }
}

/// How one of them is reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) address: SocketAddr,
    pub(crate) authority: String,
    pub(crate) token: String,
}

/// The API servers by their names.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// The running API servers; their processes and files go with this.
pub struct Fleet {
    path: PathBuf,
    // Dropped in this order: who asks before who answers.
    _servers: Vec<KubeApiserver>,
    _etcd: Etcd,
    _folder: TempDir,
}

impl Fleet {
    /// The environment variable by which tests find the file of [`Fleet::path`].
    pub const VARIABLE: &str = "SUBMARINER_TEST_SERVERS";

    /// Starts the programs and waits until each API server serves our custom resources.
    pub async fn start(programs: &Programs) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("fleet-").tempdir()?;
        let etcd = Etcd::start(&control_plane::Place { programs, folder: folder.path() })?;
        let mut servers = Vec::new();
        for which in Which::ALL {
            let own = folder.path().join(which.name());
            fs::create_dir(&own)?;
            let place = control_plane::Place { programs, folder: &own };
            servers
                .push(KubeApiserver::start(&place, &etcd, &format!("/{}", which.name()), ADDRESSES).await?);
        }
        try_join_all(servers.iter().map(|server| server.ready(&etcd))).await?;
        try_join_all(servers.iter().map(|server| install(&server.api))).await?;
        let mut entries = Entries::new();
        for (which, server) in Which::ALL.iter().zip(&servers) {
            entries.insert(which.name().to_owned(), entry(&server.api)?);
        }
        let path = folder.path().join("servers.json");
        fs::write(&path, serde_json::to_string(&entries)?)?;
        Ok(Self { path, _servers: servers, _etcd: etcd, _folder: folder })
    }

    /// The file that says how they are reached.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn entry(api: &Api) -> Result<Entry> {
    let address = api.server.trim_start_matches("https://").parse().context("an address of loopback")?;
    Ok(Entry { address, authority: api.authority.clone(), token: api.token.clone() })
}

/// The API servers of the fleet under which this process runs, if it runs under one.
pub(crate) fn given() -> Result<Option<Entries>> {
    let Some(path) = std::env::var_os(Fleet::VARIABLE).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{} is {}, which cannot be read", Fleet::VARIABLE, path.display()))?;
    Ok(Some(serde_json::from_str(&text).with_context(|| path.display().to_string())?))
}

/// Defines our custom resources and waits until they are served.
async fn install(api: &Api) -> Result<()> {
    for definition in subm_api::crds() {
        let definition = serde_json::to_value(definition)?;
        let request = http::Request::post(DEFINITIONS).header("content-type", "application/json");
        let request = request.body(definition.to_string().into_bytes())?;
        let _defined: Value = api.client.request(request).await.context("a definition is refused")?;
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, version) = (text("/spec/group"), text("/spec/versions/0/name"));
        let path = format!("/apis/{group}/{version}/{}", text("/spec/names/plural"));
        until(api.patience, "the resource is served", || async {
            Ok(api.client.request_text(http::Request::get(&path).body(Vec::new())?).await?)
        })
        .await?;
    }
    Ok(())
}
