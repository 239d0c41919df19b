//! A real control plane on loopback: no kubelet, so Pods stay where the scheduler puts them and never run.

mod process;
mod programs;
mod trust;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::api::Api;
use crate::control_plane::process::Process;
pub use crate::control_plane::programs::Programs;
use crate::control_plane::trust::Trust;
use crate::patience::until;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The running control plane; its processes and its files go with it.
pub struct ControlPlane {
    /// How it is reached.
    pub api: Api,
    // Dropped in this order: who asks before who answers.
    _scheduler: Process,
    _controllers: Process,
    _apiserver: Process,
    _etcd: Process,
    _folder: TempDir,
}

impl ControlPlane {
    /// Starts the programs and waits until the API is ready and its controllers work.
    pub async fn start(programs: &Programs) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("control-plane-").tempdir()?;
        let place = Place { programs, folder: folder.path() };
        let etcd = Etcd::start(&place)?;
        let names = ["127.0.0.1", "localhost"];
        let server = KubeApiserver::start(&place, &etcd, "/registry", &names).await?;
        server.ready(&etcd).await?;
        let KubeApiserver { api, process: apiserver } = server;
        let kubeconfig = api.kubeconfig.clone();
        let controllers =
            place.start("kube-controller-manager", controller_arguments(folder.path(), &kubeconfig))?;
        let scheduler = place.start("kube-scheduler", scheduler_arguments(&kubeconfig))?;
        until(PATIENCE, "the controllers work", || async {
            controllers.still_runs()?;
            scheduler.still_runs()?;
            // It is made in each namespace by a controller.
            let path = "/api/v1/namespaces/default/serviceaccounts/default";
            api.client.request_text(http::Request::get(path).body(Vec::new())?).await?;
            Ok(())
        })
        .await?;
        Ok(Self {
            api,
            _scheduler: scheduler,
            _controllers: controllers,
            _apiserver: apiserver,
            _etcd: etcd.process,
            _folder: folder,
        })
    }
}

/// The programs, and the folder for what they write.
pub(crate) struct Place<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) folder: &'a Path,
}

/// What a control plane keeps its objects in.
pub(crate) struct Etcd {
    port: u16,
    process: Process,
}

impl Etcd {
    pub(crate) fn start(place: &Place<'_>) -> Result<Self> {
        let port = free_port()?;
        let process = place.start("etcd", etcd_arguments(place.folder, port))?;
        Ok(Self { port, process })
    }
}

/// A kube-apiserver, and how it is reached.
pub(crate) struct KubeApiserver {
    pub(crate) api: Api,
    process: Process,
}

impl KubeApiserver {
    /// Starts one that keeps its objects below a prefix in etcd and is known by these names. It is not ready yet.
    pub(crate) async fn start(place: &Place<'_>, etcd: &Etcd, prefix: &str, names: &[&str]) -> Result<Self> {
        let trust = Trust::new()?;
        trust.write(place.folder, names)?;
        let port = free_port()?;
        let mut arguments = apiserver_arguments(place.folder, etcd.port, port);
        arguments.push(format!("--etcd-prefix={prefix}"));
        let process = place.start("kube-apiserver", arguments)?;
        let (server, kubeconfig) = (format!("https://127.0.0.1:{port}"), place.folder.join("kubeconfig"));
        let api = Api::open(server, trust.authority(), trust.token(), kubeconfig, PATIENCE).await?;
        Ok(Self { api, process })
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&self, etcd: &Etcd) -> Result<()> {
        until(PATIENCE, "the API server is ready", || async {
            etcd.process.still_runs()?;
            self.process.still_runs()?;
            let request = http::Request::get("/readyz").body(Vec::new())?;
            let said = self.api.client.request_text(request).await.context(self.process.last_words())?;
            ensure!(said == "ok", "{said}");
            Ok(())
        })
        .await
    }
}

impl Place<'_> {
    fn start(&self, name: &str, arguments: Vec<String>) -> Result<Process> {
        Process::start(&self.programs.path(name), arguments, self.folder.join(format!("{name}.log")))
    }
}

/// A port that was free a moment ago. None of the programs can be handed a socket.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

fn flags(flags: &[(&str, String)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn etcd_arguments(folder: &Path, port: u16) -> Vec<String> {
    flags(&[
        ("data-dir", path(folder, "etcd")),
        ("listen-client-urls", format!("http://127.0.0.1:{port}")),
        ("advertise-client-urls", format!("http://127.0.0.1:{port}")),
        ("listen-peer-urls", "http://127.0.0.1:0".to_owned()),
        // What it keeps is thrown away.
        ("unsafe-no-fsync", "true".to_owned()),
        ("log-level", "warn".to_owned()),
    ])
}

fn apiserver_arguments(folder: &Path, etcd_port: u16, port: u16) -> Vec<String> {
    flags(&[
        ("etcd-servers", format!("http://127.0.0.1:{etcd_port}")),
        ("bind-address", "127.0.0.1".to_owned()),
        ("advertise-address", "127.0.0.1".to_owned()),
        ("secure-port", port.to_string()),
        ("tls-cert-file", path(folder, trust::SERVER_CERTIFICATE)),
        ("tls-private-key-file", path(folder, trust::SERVER_KEY)),
        ("client-ca-file", path(folder, trust::AUTHORITY)),
        ("token-auth-file", path(folder, trust::TOKENS)),
        ("authorization-mode", "RBAC".to_owned()),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".to_owned()),
        ("service-account-key-file", path(folder, trust::ACCOUNTS_PUBLIC)),
        ("service-account-signing-key-file", path(folder, trust::ACCOUNTS_KEY)),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        // The Endpoints of the service `kubernetes` may not be on loopback.
        ("endpoint-reconciler-type", "none".to_owned()),
        ("allow-privileged", "true".to_owned()),
        // As later versions have it.
        ("feature-gates", "WatchList=true".to_owned()),
        ("max-requests-inflight", "2000".to_owned()),
    ])
}

fn controller_arguments(folder: &Path, kubeconfig: &Path) -> Vec<String> {
    flags(&[
        ("kubeconfig", kubeconfig.display().to_string()),
        ("service-account-private-key-file", path(folder, trust::ACCOUNTS_KEY)),
        ("root-ca-file", path(folder, trust::AUTHORITY)),
        ("leader-elect", "false".to_owned()),
        // It serves nothing.
        ("secure-port", "0".to_owned()),
        ("kube-api-qps", "200".to_owned()),
        ("kube-api-burst", "400".to_owned()),
    ])
}

fn scheduler_arguments(kubeconfig: &Path) -> Vec<String> {
    flags(&[
        ("kubeconfig", kubeconfig.display().to_string()),
        ("leader-elect", "false".to_owned()),
        ("secure-port", "0".to_owned()),
    ])
}

impl Programs {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
