//! The API servers: one per cluster and one for the hub, each in a host of its own.

mod objects;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use subm_apiserver::{ApiServer, Authority, Credential, Objects, Rule, ServerTls, ServiceRanges};
use subm_lab::{Host, STATE_DIR};
use subm_types::{ClusterId, Family, PerFamily};

use crate::topology::{self, API_PORT, Families, Topology};
use crate::world::World;

pub(crate) use objects::{BROKER_NAMESPACE, OPERATOR_NAMESPACE, node_object};

/// The name of the hub among the API servers.
pub(crate) const HUB_NAME: &str = "hub";

/// Where the kubeconfig for people lies.
pub(crate) fn admin_kubeconfig(api: &str) -> PathBuf {
    Path::new(STATE_DIR).join(format!("{api}.kubeconfig"))
}

/// Every API server by the name of its cluster.
#[derive(Debug)]
pub(crate) struct Apis(BTreeMap<String, Api>);

/// One API server.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    name: String,
    server: ApiServer,
    addresses: PerFamily<IpAddr>,
    authority: String,
}

impl Apis {
    /// Starts all servers, with the objects of their clusters in them.
    pub(crate) fn start(world: &World) -> anyhow::Result<Self> {
        let mut servers = BTreeMap::new();
        let (host, addresses) = world.topology.hub();
        let hub = Api::start(HUB_NAME, world.host(host)?, addresses, ServiceRanges::default())?;
        objects::create_hub(&hub.objects())?;
        servers.insert(HUB_NAME.to_owned(), hub);
        for cluster in &world.topology.clusters {
            let addresses = topology::addresses(cluster.api());
            let services = cluster.services();
            let services = ServiceRanges::new(services.iter().map(|(_, net)| *net)).unwrap_or_default();
            let api = Api::start(&cluster.name, world.host(&cluster.name)?, addresses, services)?;
            objects::create_cluster(&api.objects(), cluster)?;
            servers.insert(cluster.name.clone(), api);
        }
        Ok(Self(servers))
    }

    /// The server of a cluster, or the hub's.
    pub(crate) fn of(&self, name: &str) -> anyhow::Result<&Api> {
        self.0.get(name).with_context(|| format!("there is no API server {name}"))
    }

    /// The hub's.
    pub(crate) fn hub(&self) -> anyhow::Result<&Api> {
        self.of(HUB_NAME)
    }

    /// Gives people a way to everything, in files that only their playground has.
    pub(crate) fn write_admin_kubeconfigs(&self, topology: &Topology) -> anyhow::Result<()> {
        for api in self.0.values() {
            let token = token()?;
            api.server.credentials().grant(Credential::admin(&token));
            let path = admin_kubeconfig(&api.name);
            fs::write(&path, api.kubeconfig(&token)).with_context(|| path.display().to_string())?;
        }
        debug_assert_eq!(self.0.len(), topology.clusters.len() + 1);
        Ok(())
    }
}

impl Api {
    fn start(
        name: &str,
        host: &Host,
        addresses: PerFamily<IpAddr>,
        services: ServiceRanges,
    ) -> anyhow::Result<Self> {
        let name = name.to_owned();
        let authority = Authority::new(&format!("{name} CA"))?;
        let names: Vec<String> = addresses.iter().map(|(_, address)| address.to_string()).collect();
        let tls = authority.server_certificate(&names)?;
        let server = ApiServer::builder().authority(&authority.pem())?.services(services).build();
        let listen = || -> io::Result<Vec<TcpListener>> {
            let listen = |(_, address): (Family, &IpAddr)| {
                let listener = TcpListener::bind((*address, API_PORT))?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            };
            addresses.iter().map(listen).collect()
        };
        let listeners = host.enter(listen)?.with_context(|| format!("the API server of {name}"))?;
        let serving = server.clone();
        host.spawn(&format!("api-{name}"), move || serve(&serving, listeners, &tls))?;
        Ok(Self { name, server, addresses, authority: authority.pem() })
    }

    /// `host:port`, as people are told.
    pub(crate) fn endpoint(&self) -> String {
        self.endpoint_for(Families::Dual)
    }

    /// `host:port`, as clients that have these families are told.
    pub(crate) fn endpoint_for(&self, families: Families) -> String {
        let known = self.addresses.iter().find(|(family, _)| families.has(*family));
        known.map_or_else(String::new, |(_, address)| SocketAddr::new(*address, API_PORT).to_string())
    }

    /// The first of its addresses.
    pub(crate) fn first_address(&self) -> Option<IpAddr> {
        self.addresses.iter().next().map(|(_, address)| *address)
    }

    /// The certificate of its authority.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Its objects, read and written as an administrator.
    pub(crate) fn objects(&self) -> Objects {
        self.server.store().managed_by("playground")
    }

    /// The server itself, for its knobs and for clients in this process.
    pub(crate) fn server(&self) -> &ApiServer {
        &self.server
    }

    /// A new token for a user with these rules only.
    pub(crate) fn grant(&self, user: &str, rules: Vec<Rule>) -> anyhow::Result<String> {
        let token = token()?;
        self.server.credentials().grant(Credential::with_rules(&token, user, rules));
        Ok(token)
    }

    /// A new token for a member of the clusterset, on the hub.
    pub(crate) fn grant_member(&self, cluster: &str) -> anyhow::Result<String> {
        let token = token()?;
        let id: ClusterId = cluster.parse().map_err(|wrong| anyhow!("{wrong}"))?;
        self.server.credentials().grant(Credential::member(&token, &id, BROKER_NAMESPACE));
        Ok(token)
    }

    /// A kubeconfig for the holder of a token.
    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        subm_apiserver::kubeconfig(
            &format!("https://{}", self.endpoint()),
            &self.authority,
            token,
            &self.name,
        )
    }
}

fn serve(server: &ApiServer, listeners: Vec<TcpListener>, tls: &ServerTls) {
    let run = || -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut serving = FuturesUnordered::new();
            for listener in listeners {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                serving.push(server.serve(listener, tls.clone()));
            }
            match serving.next().await {
                None => Err(io::Error::other("it has no address")),
                Some(never) => match never {},
            }
        })
    };
    if let Err(error) = run() {
        tracing::error!(%error, "an API server ended");
    }
}

/// A bearer token that nobody can guess.
pub(crate) fn token() -> anyhow::Result<String> {
    let mut random = [0_u8; 24];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut random))
        .context("random bytes")?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    }))
}
