//! How to reach an API server, and the connection to one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::token::TokenFile;
use crate::verifier::{SystemToo, Trust, Verifier};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long sent bytes may stay unacknowledged, and a silent peer unasked: a cut wire is noticed by then.
const SILENCE: Duration = Duration::from_secs(10);

/// Settings that lead to no server.
#[derive(Debug, thiserror::Error)]
pub enum InvalidAccess {
    /// The process runs in no cluster and has no kubeconfig.
    #[error(
        "no API server is known: give a kubeconfig (--kubeconfig or KUBECONFIG), or run in a pod with a service account"
    )]
    InCluster(#[source] kube::config::InClusterError),
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {path} cannot be used; correct the file or choose another")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Box<kube::config::KubeconfigError>,
    },
    /// The address is none.
    #[error("{field} {value:?} is no address of a server; write host[:port][/path]")]
    Address {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        #[source]
        cause: http::uri::InvalidUri,
    },
    /// The authority is no certificate.
    #[error("{field} holds no certificate; write the authority's PEM, in base64")]
    Authority {
        /// The setting.
        field: &'static str,
    },
    /// There is no credential.
    #[error("no credential: set BROKER_K8S_APISERVERTOKEN, or BROKER_K8S_SECRET to a Secret with a token")]
    NoToken,
    /// The credential or the TLS settings cannot be used.
    #[error("the credential for {server} cannot be used")]
    Credential {
        /// The server.
        server: String,
        /// Why not.
        #[source]
        cause: Box<kube::Error>,
    },
}

/// Where the hub is and how a member may enter: `BROKER_K8S_…` of the environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HubSettings {
    /// `BROKER_K8S_APISERVER`: `host[:port][/path]` without a scheme.
    pub apiserver: String,
    /// `BROKER_K8S_APISERVERTOKEN`.
    pub token: Option<String>,
    /// `BROKER_K8S_REMOTENAMESPACE`.
    pub namespace: String,
    /// `BROKER_K8S_CA`: base64 of PEM.
    pub ca: Option<String>,
    /// `BROKER_K8S_INSECURE`: the certificate is not checked.
    pub insecure: bool,
    /// The directory of the Secret that `BROKER_K8S_SECRET` names, with `token` and `ca.crt`; both are read again
    /// when they change.
    pub secret: Option<PathBuf>,
}

impl HubSettings {
    /// Where the Secret that `BROKER_K8S_SECRET` names is mounted.
    pub fn secret_directory(name: &str) -> PathBuf {
        Path::new("/run/secrets/submariner.io").join(name)
    }
}

impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("apiserver", &self.apiserver)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("namespace", &self.namespace)
            .field("ca", &self.ca.is_some())
            .field("insecure", &self.insecure)
            .field("secret", &self.secret)
            .finish()
    }
}

/// How to reach a server, checked as far as that goes without asking it.
pub struct Access {
    config: Config,
    namespace: String,
    trust: Trust,
    system_too: SystemToo,
    field: String,
}

/// A client of one server, which dials when it is first used.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: kube::Client,
    /// The server's address, for messages.
    pub server: String,
    /// The namespace that we work in.
    pub namespace: String,
}

impl Access {
    /// The cluster that we belong to: by this kubeconfig, else by that of `KUBECONFIG`, else by the pod's service
    /// account.
    pub async fn home(kubeconfig: Option<&Path>, namespace: &str) -> Result<Self, InvalidAccess> {
        let variable = std::env::var_os("KUBECONFIG").filter(|text| !text.is_empty()).map(PathBuf::from);
        match kubeconfig.map(Path::to_owned).or(variable) {
            Some(path) => Self::kubeconfig(&path, namespace).await,
            None => Self::in_cluster(namespace),
        }
    }

    /// The cluster of a pod's service account.
    pub fn in_cluster(namespace: &str) -> Result<Self, InvalidAccess> {
        let config = Config::incluster().map_err(InvalidAccess::InCluster)?;
        let field = "ca.crt of the service account".to_owned();
        let file = config.root_cert_file.clone();
        let trust = file.map_or_else(|| authorities(&config), Trust::File);
        Ok(Self { config, namespace: namespace.to_owned(), trust, system_too: SystemToo::No, field })
    }

    /// The present context of a kubeconfig.
    pub async fn kubeconfig(path: &Path, namespace: &str) -> Result<Self, InvalidAccess> {
        let invalid = |cause| InvalidAccess::Kubeconfig { path: path.to_owned(), cause: Box::new(cause) };
        let file = Kubeconfig::read_from(path).map_err(invalid)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(file, &options).await.map_err(invalid)?;
        let field = format!("certificate-authority of kubeconfig {}", path.display());
        let trust = authorities(&config);
        Ok(Self { config, namespace: namespace.to_owned(), trust, system_too: SystemToo::No, field })
    }

    /// The hub.
    pub fn hub(settings: &HubSettings) -> Result<Self, InvalidAccess> {
        let url = format!("https://{}", settings.apiserver);
        let uri = url.parse().map_err(|cause| InvalidAccess::Address {
            field: "BROKER_K8S_APISERVER",
            value: settings.apiserver.clone(),
            cause,
        })?;
        let mut config = Config::new(uri);
        let in_secret =
            |name| settings.secret.as_ref().map(|dir| dir.join(name)).filter(|file| file.is_file());
        match in_secret("token") {
            Some(file) => config.auth_info.token_file = Some(file.to_string_lossy().into_owned()),
            None => match settings.token.as_ref().map(|token| token.trim()).filter(|token| !token.is_empty())
            {
                Some(token) => config.auth_info.token = Some(token.to_owned().into()),
                None => return Err(InvalidAccess::NoToken),
            },
        }
        let (trust, field) = match (settings.insecure, in_secret("ca.crt"), &settings.ca) {
            (true, _, _) => (Trust::Anybody, "BROKER_K8S_INSECURE".to_owned()),
            (false, Some(file), _) => (Trust::File(file.clone()), format!("{}", file.display())),
            (false, None, Some(text)) if !text.trim().is_empty() => {
                (hub_authority(text)?, "BROKER_K8S_CA".to_owned())
            }
            (false, None, _) => (Trust::System, "BROKER_K8S_CA".to_owned()),
        };
        Ok(Self { config, namespace: settings.namespace.clone(), trust, system_too: SystemToo::Yes, field })
    }

    /// Makes the client. Nothing is sent yet: a server that is down is found out by whoever asks it first.
    pub fn connect(mut self) -> Result<Connection, InvalidAccess> {
        let server = self.config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let failed = |cause| InvalidAccess::Credential { server: server.clone(), cause: Box::new(cause) };
        // Taken already when another connection of the process was made.
        drop(rustls::crypto::ring::default_provider().install_default());
        // Our verifier replaces whatever the library would make of these.
        self.config.root_cert = Some(Vec::new());
        self.config.root_cert_file = None;
        let mut tls = self.config.rustls_client_config().map_err(failed)?;
        let verifier = Verifier::new(self.trust, self.system_too, self.field);
        tls.dangerous().set_certificate_verifier(Arc::new(verifier));
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector =
            match self.config.tls_server_name.clone().and_then(|name| ServerName::try_from(name).ok()) {
                Some(name) => {
                    connector.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name))
                }
                None => connector,
            };
        let connector = connector.enable_http1().wrap_connector(tcp());
        let hyper = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        // Our reader replaces the library's, which goes by the wall clock and takes a line end for a part of the token.
        let token = self.config.auth_info.token_file.take().map(|path| TokenFile::new(path.into()));
        let token =
            token.map(|token| tower::util::MapRequestLayer::new(move |request| token.authorise(request)));
        let service = tower::ServiceBuilder::new()
            .layer(self.config.base_uri_layer())
            .option_layer(token)
            .option_layer(self.config.auth_layer().map_err(failed)?)
            .layer(self.config.extra_headers_layer().map_err(failed)?)
            .map_err(tower::BoxError::from)
            .service(hyper);
        let client = kube::Client::new(service, self.namespace.clone());
        Ok(Connection { client, server, namespace: self.namespace })
    }
}

fn authorities(config: &Config) -> Trust {
    match (&config.root_cert, config.accept_invalid_certs) {
        (_, true) => Trust::Anybody,
        (Some(certificates), false) => Trust::Authorities(certificates.clone()),
        (None, false) => Trust::System,
    }
}

/// COMPAT: the setting is base64 of PEM; PEM itself is taken too.
fn hub_authority(text: &str) -> Result<Trust, InvalidAccess> {
    let compact: String = text.split_whitespace().collect();
    let pem = base64::engine::general_purpose::STANDARD
        .decode(compact)
        .unwrap_or_else(|_| text.as_bytes().to_vec());
    let certificates: Vec<Vec<u8>> =
        CertificateDer::pem_slice_iter(&pem).flatten().map(|der| der.to_vec()).collect();
    if certificates.is_empty() {
        return Err(InvalidAccess::Authority { field: "BROKER_K8S_CA" });
    }
    Ok(Trust::Authorities(certificates))
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(SILENCE / 2));
    tcp.set_keepalive_interval(Some(SILENCE / 5));
    tcp.set_keepalive_retries(Some(3));
    tcp.set_tcp_user_timeout(Some(SILENCE));
    tcp
}

impl Connection {
    /// A connection over a client that exists, such as one of a server in the same process.
    pub fn over(client: kube::Client, server: &str, namespace: &str) -> Self {
        Self { client, server: server.to_owned(), namespace: namespace.to_owned() }
    }

    /// The same server, another namespace.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.server)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("server", &self.config.cluster_url)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
