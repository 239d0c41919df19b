//! A cluster of a worker with a pod and a gateway, a remote cluster that is one host, and the cluster's API.
//!
//! ```text
//! pod 10.1.1.2 -- cni0 worker eth0 172.18.0.3 -- 172.18.0.2 eth0 gateway vxlan-tunnel 10.2.0.9 -- remote 10.2.0.5
//! ```
//!
//! Over IPv6 the same with the addresses of [`Numbers::V6`].

use std::future::Future;
use std::net::IpAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::{Value, json};
use subm_apiserver::Link;
use subm_kernel::Kernel;
use subm_kube::Connection;
use subm_lab::{EchoServer, Ground, Host, Veth};
use subm_plan::nft::{
    AddressTest, At, Chain, ChainName, Hook, HookType, Match, Policy, Rule as NftRule, Side, Table, Verdict,
    priority,
};
use subm_plan::numbers::{METRIC_CABLE, TABLE_REMOTE};
use subm_plan::{NodePlan, NodeState, Owner, Route, RouteKey, RouteProtocol, Scope, World, diff};
use subm_runtime::Shutdown;
use subm_servers::{Cluster, Servers, Which};
use submariner_route_agent::{Arguments, Settings, serve};

use crate::numbers::Numbers;

const NAMESPACE: &str = "submariner-operator";

pub(crate) struct Site {
    pub(crate) worker: Host,
    pub(crate) gateway: Host,
    pub(crate) pod: Host,
    api: Cluster,
    _servers: Servers,
    families: Vec<Numbers>,
    _remote: Host,
    _echo: EchoServer,
}

/// Runs a test on a thread with network and mount namespaces of its own.
pub(crate) fn in_own_world<F>(test: impl FnOnce(Servers) -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    let servers = Servers::new().unwrap();
    let world = move || {
        Ground::of_thread().unwrap();
        subm_runtime::telemetry::start(subm_runtime::Verbosity::Normal).unwrap_or_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(servers));
    };
    let ended = std::thread::spawn(world).join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

impl Site {
    /// A site of IPv4.
    pub(crate) async fn build(servers: Servers) -> Self {
        Self::of(servers, &[Numbers::V4]).await
    }

    pub(crate) async fn of(servers: Servers, families: &[Numbers]) -> Self {
        let (worker, gateway) =
            (Host::create("worker").await.unwrap(), Host::create("gateway").await.unwrap());
        let (pod, remote) = (Host::create("pod").await.unwrap(), Host::create("remote").await.unwrap());
        lay((&worker, "eth0"), (&gateway, "eth0")).await;
        lay((&worker, "cni0"), (&pod, "eth0")).await;
        lay((&gateway, "vxlan-tunnel"), (&remote, "cable")).await;
        gateway.add_bridge("cni0", 1500).await.unwrap();
        for numbers in families {
            number(numbers, [&worker, &gateway, &pod, &remote]).await;
        }
        worker.sysctl("net/ipv4/ip_forward", "1").unwrap();
        worker.sysctl("net/ipv4/conf/eth0/rp_filter", "1").unwrap();
        for node in [&worker, &gateway] {
            put(node, &Scope::of(Owner("cni"), RouteProtocol(91), &[]), &masquerade(families));
        }
        put(&gateway, &Scope::gateway(), &cable(families));
        let echo = EchoServer::start().unwrap();
        echo.serve(&remote).unwrap();
        let families = families.to_vec();
        let api = api(&servers, &families);
        Self { worker, gateway, pod, api, families, _servers: servers, _remote: remote, _echo: echo }
    }

    /// Starts the daemon on a node.
    pub(crate) fn start(&self, node: &Host) -> Agent {
        let some = |text: &str| Some(text.to_owned());
        let list = |of: fn(&Numbers) -> &str| self.families.iter().map(of).collect::<Vec<_>>().join(",");
        let given = Arguments {
            node_name: Some(format!("east-{}", node.name())),
            cluster_id: some("east"),
            namespace: some(NAMESPACE),
            cluster_cidr: Some(list(|numbers| numbers.pods)),
            service_cidr: Some(list(|numbers| numbers.services)),
            profile_port: some("0"),
            ..Arguments::default()
        };
        let settings = Settings::try_from(given).unwrap();
        let client = self.api.client();
        let shutdown = Shutdown::default();
        let asked = shutdown.clone();
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                serve(settings, Connection::over(client(), "https://home", NAMESPACE), asked).await.unwrap();
            });
        };
        Agent { thread: Some(node.spawn("route-agent", body).unwrap()), shutdown }
    }

    /// Waits until something is so.
    pub(crate) fn until(&self, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            let agents = || self.api.objects().list("routeagents.submariner.io", None);
            assert!(begun.elapsed() < Duration::from_secs(20), "{:#?}", agents());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn route_agent(&self, node: &str) -> Value {
        self.api.objects().get("routeagents.submariner.io", NAMESPACE, node).unwrap_or_default()
    }

    pub(crate) fn status(&self, node: &str) -> Value {
        self.route_agent(node)["status"].clone()
    }

    pub(crate) fn condition(&self, node: &str, kind: &str) -> String {
        let status = self.status(node);
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        found.and_then(|condition| condition["status"].as_str()).unwrap_or_default().to_owned()
    }

    pub(crate) fn saved_sysctls(&self, node: &str) -> Value {
        let object = self.route_agent(node);
        let text =
            object["metadata"]["annotations"]["submariner.io/saved-sysctls"].as_str().unwrap_or_default();
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(crate) fn delete_endpoint(&self, cluster: &str) {
        let store = self.api.objects();
        for object in store.list("endpoints.submariner.io", Some(NAMESPACE)) {
            if object["spec"]["cluster_id"] == cluster {
                let name = object["metadata"]["name"].as_str().unwrap();
                store.delete("endpoints.submariner.io", NAMESPACE, name).unwrap();
            }
        }
    }

    /// The API is not to be reached any more.
    pub(crate) fn cut_off(&self) {
        self.api.faults().set_link(Link::Refused);
        self.api.faults().cut_watches();
    }
}

/// A running daemon; it ends when this is dropped.
pub(crate) struct Agent {
    shutdown: Shutdown,
    thread: Option<JoinHandle<Result<(), subm_lab::LabError>>>,
}

impl Agent {
    /// Ends it and waits for that.
    pub(crate) fn stop(mut self) {
        self.shutdown.request();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// Kinds of objects that somebody may delete.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Routes,
    Rules,
    Table,
    Addresses,
    Forwarding,
    Neighbours,
    Link,
}

pub(crate) const KINDS: [Kind; 7] =
    [Kind::Routes, Kind::Rules, Kind::Table, Kind::Addresses, Kind::Forwarding, Kind::Neighbours, Kind::Link];

/// Deletes everything of a kind that the daemon has on a host.
pub(crate) fn delete(host: &Host, kind: Kind) {
    let own = state(host).own;
    let rest = match kind {
        Kind::Routes => NodePlan { routes: [].into(), ..own },
        Kind::Rules => NodePlan { rules: [].into(), ..own },
        Kind::Table => NodePlan { table: None, ..own },
        Kind::Addresses => NodePlan { addresses: [].into(), ..own },
        Kind::Forwarding => NodePlan { fdb: [].into(), ..own },
        Kind::Neighbours => NodePlan { neighbours: [].into(), ..own },
        Kind::Link => NodePlan { links: [].into(), ..own },
    };
    put(host, &Scope::route_agent(), &rest);
}

/// What the daemon has on a host.
pub(crate) fn state(host: &Host) -> NodeState {
    let look = || Kernel::open().unwrap().observe(&Scope::route_agent(), &NodePlan::default()).unwrap();
    host.enter(look).unwrap()
}

fn put(host: &Host, scope: &Scope, plan: &NodePlan) {
    let change = || {
        let mut kernel = Kernel::open().unwrap();
        let steps = diff(&kernel.observe(scope, plan).unwrap(), plan);
        kernel.apply(scope, &steps)
    };
    let applied = host.enter(change).unwrap();
    assert!(applied.failures.is_empty(), "{:?}", applied.failures);
}

pub(crate) async fn remove_address(host: &Host, link: &str, address: IpNet) {
    let netlink = host.netlink().unwrap();
    netlink.del_address(link, address.addr(), address.prefix_len()).await.unwrap();
}

async fn lay(here: (&Host, &str), there: (&Host, &str)) {
    Veth { here, there, mtu: 1500 }.lay().await.unwrap();
}

/// Gives everybody addresses and routes of a family.
async fn number(numbers: &Numbers, [worker, gateway, pod, remote]: [&Host; 4]) {
    let host = |address: &str| IpNet::from(address.parse::<IpAddr>().unwrap());
    let outside = net(numbers.remote_pods).prefix_len();
    for (at, link, address) in [
        (worker, "eth0", numbers.node(numbers.worker)),
        (gateway, "eth0", numbers.node(numbers.gateway)),
        (worker, "cni0", numbers.pod_net(numbers.worker_cni)),
        (pod, "eth0", numbers.pod_net(numbers.pod)),
        (gateway, "cni0", numbers.pod_net(numbers.gateway_cni)),
        (gateway, "vxlan-tunnel", host(numbers.cable)),
        (remote, "cable", IpNet::new(numbers.remote_pod(), outside).unwrap()),
    ] {
        at.add_address(link, address).await.unwrap();
    }
    route(pod, numbers.all_of(), numbers.worker_cni).await;
    route(worker, numbers.all_of(), numbers.gateway).await;
    let pods = numbers.pod_net(numbers.pod).trunc().to_string();
    route(gateway, &pods, numbers.worker).await;
    route(remote, numbers.pods, numbers.cable).await;
}

async fn route(host: &Host, to: &str, via: &str) {
    host.add_route(net(to), via.parse::<IpAddr>().unwrap()).await.unwrap();
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// What common network plug-ins do to packets that leave the cluster.
fn masquerade(families: &[Numbers]) -> NodePlan {
    let scope = Scope::of(Owner("cni"), RouteProtocol(91), &[]);
    let hook =
        Hook { kind: HookType::Nat, at: At::Postrouting, priority: priority::SRCNAT, policy: Policy::Accept };
    let rule = |numbers: &Numbers| {
        let pods = net(numbers.pods);
        let matches = [
            Match::Address(Side::Source, AddressTest::Net(pods)),
            Match::Address(Side::Destination, AddressTest::NotNet(pods)),
        ];
        NftRule::new(matches, Verdict::Masquerade, "to the outside")
    };
    let mut table = Table::new(scope.table);
    let rules = families.iter().map(rule).collect();
    table.chains.insert(ChainName("masquerade".to_owned()), Chain { hook: Some(hook), rules });
    NodePlan { table: Some(table), ..NodePlan::default() }
}

/// What the gateway daemon would have: the way into the cable.
fn cable(families: &[Numbers]) -> NodePlan {
    let mut plan = NodePlan::default();
    for Numbers { remote_pods, .. } in families {
        let key = RouteKey { table: TABLE_REMOTE, dst: net(remote_pods), metric: METRIC_CABLE };
        plan.routes.insert(key, Route::dev("vxlan-tunnel".parse().unwrap()));
    }
    plan
}

fn api(servers: &Servers, families: &[Numbers]) -> Cluster {
    let api = servers.local(Which::East, NAMESPACE).unwrap();
    let store = api.objects();
    let list = |of: fn(&Numbers) -> &str| families.iter().map(of).collect::<Vec<_>>();
    for (name, addresses) in
        [("east-gateway", list(|numbers| numbers.gateway)), ("east-worker", list(|numbers| numbers.worker))]
    {
        let labels = json!({"kubernetes.io/hostname": name});
        let internal = |address: &&str| json!({"type": "InternalIP", "address": address});
        let addresses: Vec<Value> = addresses.iter().map(internal).collect();
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "status": {"addresses": addresses},
        });
        store.create(node.clone()).unwrap();
        store.replace_status(node).unwrap();
    }
    for (cluster, addresses, pods, services, probes) in [
        (
            "east",
            list(|numbers| numbers.gateway),
            list(|numbers| numbers.pods),
            list(|numbers| numbers.services),
            list(|numbers| numbers.gateway_cni),
        ),
        (
            "west",
            list(|numbers| numbers.remote_gateway),
            list(|numbers| numbers.remote_pods),
            list(|numbers| numbers.remote_services),
            list(|numbers| numbers.remote),
        ),
    ] {
        let nets = [pods.clone(), services.clone()].concat();
        store.create(endpoint(cluster, &addresses, &nets, &probes)).unwrap();
        let cluster = json!({
            "apiVersion": "submariner.io/v1", "kind": "Cluster",
            "metadata": {"name": cluster, "namespace": NAMESPACE},
            "spec": {
                "cluster_id": cluster, "color_codes": ["blue"], "cluster_cidr": pods,
                "service_cidr": services, "global_cidr": [],
            },
        });
        store.create(cluster).unwrap();
    }
    api
}

fn endpoint(cluster: &str, addresses: &[&str], nets: &[&str], probes: &[&str]) -> Value {
    let cable = format!("submariner-cable-{cluster}-{}", addresses[0].replace(['.', ':'], "-"));
    let four =
        |list: &[&str]| list.iter().find(|text| text.contains('.')).copied().unwrap_or_default().to_owned();
    json!({
        "apiVersion": "submariner.io/v1", "kind": "Endpoint",
        "metadata": {"name": format!("{cluster}-{cable}"), "namespace": NAMESPACE},
        "spec": {
            "cluster_id": cluster, "cable_name": cable, "hostname": format!("{cluster}-gateway"), "subnets": nets,
            "private_ip": four(addresses), "privateIPs": addresses, "public_ip": "", "nat_enabled": false,
            "backend": "vxlan", "healthCheckIP": four(probes), "healthCheckIPs": probes,
            "backend_config": {"udp-port": "4500"},
        },
    })
}
