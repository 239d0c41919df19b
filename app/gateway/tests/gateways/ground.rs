//! An underlay, three APIs on it, and gateways in network namespaces.

#[path = "adjusted.rs"]
mod adjusted;
#[path = "surroundings.rs"]
mod surroundings;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use ipnet::IpNet;
use serde_json::{Value, json};
use subm_apiserver::Authority;
use subm_cable::WireguardCarrier;
use subm_kernel::Kernel;
use subm_kube::HubSettings;
use subm_lab::traffic::PingRun;
use subm_lab::{ECHO_PORT, EchoServer, Host, LabError, traffic};
use subm_plan::numbers::{RULE_REMOTE, TABLE_REMOTE};
use subm_plan::{NodePlan, Rule, RuleSelector, Scope, World as _, diff};
use subm_probe::LeaseTiming;
use subm_runtime::Shutdown;
use subm_servers::{Cluster, Servers, Which};
use subm_types::{Backend, Family, PerFamily};
use submariner_gateway::Config;
use submariner_gateway::settings::{HealthCheck, Task};

pub(crate) use surroundings::Behind;

const BROKER: &str = "submariner-k8s-broker";
const HOME: &str = "submariner-operator";
const UNDERLAY: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 1);
const UNDERLAY6: Ipv6Addr = Ipv6Addr::new(0xfd31, 0, 0, 0, 0, 0, 0, 1);
/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_mins(3);

/// Asks until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "it never came true that {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Which gateway of which cluster.
#[derive(Clone, Copy)]
struct Member {
    home: &'static str,
    cluster: &'static str,
    number: u8,
    families: &'static [Family],
    behind: Behind,
}

impl Member {
    fn node(self) -> String {
        format!("{}-{}", self.cluster, self.number)
    }

    fn pods(self, family: Family) -> IpNet {
        let second = second(self.cluster);
        let text = match family {
            Family::V4 => format!("10.{second}.0.0/16"),
            Family::V6 => format!("fd10:{second}::/48"),
        };
        text.parse().unwrap()
    }

    fn inside(self, family: Family) -> IpAddr {
        let second = second(self.cluster);
        match family {
            Family::V4 => Ipv4Addr::new(10, second, self.number, 1).into(),
            Family::V6 => {
                let (second, number) = (u16::from(second), u16::from(self.number));
                Ipv6Addr::new(0xfd10, second, 0, number, 0, 0, 0, 1).into()
            }
        }
    }
}

/// The underlay and what stands on it.
pub(crate) struct Ground {
    underlay: Host,
    pub(crate) hub: Cluster,
    homes: BTreeMap<&'static str, Cluster>,
    _servers: Servers,
    files: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

/// A running gateway: what it ends with, or that its host could not be entered.
type Ending = JoinHandle<Result<anyhow::Result<()>, LabError>>;

/// A gateway in its namespace.
pub(crate) struct Gateway {
    host: Host,
    config: Config,
    inside: PerFamily<IpAddr>,
    running: Option<(Shutdown, Ending)>,
}

impl Ground {
    /// Runs a test on a thread with mounts and a network of its own.
    pub(crate) fn run(test: impl FnOnce(&Self) + Send + 'static) {
        let servers = Servers::new().unwrap();
        let ran = std::thread::spawn(move || {
            subm_lab::Ground::of_thread().unwrap();
            test(&Self::new(servers));
        });
        if let Err(panic) = ran.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn new(servers: Servers) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let underlay = runtime.block_on(async {
            let host = Host::create("underlay").await.unwrap();
            host.add_bridge("br0", 1500).await.unwrap();
            host.add_address("br0", format!("{UNDERLAY}/24").parse().unwrap()).await.unwrap();
            host.add_address("br0", format!("{UNDERLAY6}/64").parse().unwrap()).await.unwrap();
            host
        });
        let serve = |which, namespace, port| serve(&servers, &underlay, (which, namespace, port));
        let hub = serve(Which::Hub, BROKER, 6443);
        // Another cluster than east and west, in its own namespace of the one that is the hub.
        let homes = [("east", Which::East), ("west", Which::West), ("impostor", Which::Hub)];
        let homes = homes.into_iter().zip(6444..);
        let homes = homes.map(|((name, which), port)| (name, serve(which, HOME, port))).collect();
        Self { underlay, hub, homes, files: tempfile::tempdir().unwrap(), runtime, _servers: servers }
    }

    pub(crate) fn home(&self, cluster: &str) -> &Cluster {
        &self.homes[cluster]
    }

    pub(crate) fn gateway(&self, cluster: &'static str, number: u8) -> Gateway {
        self.launch(cluster, cluster, number, |_| {})
    }

    /// A gateway of a cluster whose pods have these families.
    pub(crate) fn gateway_of(&self, cluster: &'static str, families: &'static [Family]) -> Gateway {
        let member = Member { home: cluster, cluster, number: 1, families, behind: Behind::Nothing };
        self.prepare(member, &json!({}), |_| {})
    }

    /// A gateway with WireGuard cables, which this carries.
    pub(crate) fn wireguard_gateway(
        &self,
        cluster: &'static str,
        families: &'static [Family],
        carrier: &str,
    ) -> Gateway {
        let member = Member { home: cluster, cluster, number: 1, families, behind: Behind::Nothing };
        let mut gateway = self.wired(member, &json!({}), |_| {});
        gateway.config.driver = Backend::Wireguard;
        gateway.config.wireguard_carrier = carrier.into();
        gateway.start();
        gateway
    }

    /// A gateway that listens on a port of its own.
    pub(crate) fn gateway_on_port(&self, cluster: &'static str, port: u16) -> Gateway {
        let annotations = json!({"gateway.submariner.io/udp-port": port.to_string()});
        let member =
            Member { home: cluster, cluster, number: 1, families: &[Family::V4], behind: Behind::Nothing };
        self.prepare(member, &annotations, |_| {})
    }

    /// A gateway behind a port forward that says where it is seen from outside, and not that there is a NAT.
    pub(crate) fn gateway_behind_a_port_forward(&self, cluster: &'static str) -> Gateway {
        let behind = Behind::PortForward;
        let member = Member { home: cluster, cluster, number: 1, families: &[Family::V4], behind };
        let mut gateway = self.wired(member, &json!({}), |_| {});
        gateway.config.public_ip = format!("ipv4:{}", underlay_address(cluster, 1));
        gateway.start();
        gateway
    }

    /// A gateway that only says what it would do, on this port.
    pub(crate) fn gateway_that_only_looks(&self, cluster: &'static str, port: u16) -> Gateway {
        let member =
            Member { home: cluster, cluster, number: 1, families: &[Family::V4], behind: Behind::Nothing };
        let mut gateway = self.wired(member, &json!({}), |_| {});
        (gateway.config.task, gateway.config.metrics_port) = (Task::DryRun, port);
        gateway.start();
        gateway
    }

    /// A gateway that cannot say where the hub is.
    pub(crate) fn gateway_without_hub(&self, cluster: &'static str) -> Gateway {
        self.launch(cluster, cluster, 1, |hub| hub.ca = Some("no base64".to_owned()))
    }

    /// Writes an Endpoint of a cluster that has no gateway here to the hub, as that member would.
    pub(crate) fn announce(&self, cluster: &str, host: u8, subnet: &str) {
        Self::announce_to(&self.hub, BROKER, (cluster, host, subnet));
    }

    /// Writes the copy of such an Endpoint that a gateway made earlier.
    pub(crate) fn copy_to(&self, home: &str, cluster: &str, host: u8, subnet: &str) {
        Self::announce_to(self.home(home), HOME, (cluster, host, subnet));
    }

    fn announce_to(api: &Cluster, namespace: &str, (cluster, host, subnet): (&str, u8, &str)) {
        let private = format!("172.31.0.{host}");
        let cable = format!("submariner-cable-{cluster}-172-31-0-{host}");
        let spec = json!({
            "cluster_id": cluster, "cable_name": cable, "hostname": "far", "subnets": [subnet],
            "private_ip": private, "public_ip": "", "nat_enabled": false, "backend": "vxlan",
            "backend_config": {"udp-port": "4500"}
        });
        let metadata = |name: &str| json!({"name": name, "namespace": namespace, "labels": {"submariner-io/clusterID": cluster}});
        let member = json!({
            "apiVersion": "submariner.io/v1", "kind": "Cluster", "metadata": metadata(cluster),
            "spec": {"cluster_id": cluster, "cluster_cidr": [subnet], "service_cidr": [], "global_cidr": []}
        });
        let endpoint = json!({
            "apiVersion": "submariner.io/v1", "kind": "Endpoint",
            "metadata": metadata(&format!("{cluster}-{cable}")), "spec": spec
        });
        api.objects().apply(member).unwrap();
        api.objects().apply(endpoint).unwrap();
    }

    /// A gateway of another cluster that calls itself so.
    pub(crate) fn impostor(&self, cluster: &'static str) -> Gateway {
        self.launch("impostor", cluster, 7, |_| {})
    }

    pub(crate) fn gateway_that_distrusts(&self, cluster: &'static str) -> Gateway {
        let other = Authority::new("somebody else").unwrap().pem();
        self.launch(cluster, cluster, 1, |hub| hub.ca = Some(encode(&other)))
    }

    pub(crate) fn gateway_without_rights(&self, cluster: &'static str) -> Gateway {
        let token = self.hub.allow("stranger", &[]).unwrap();
        self.launch(cluster, cluster, 1, |hub| hub.token = Some(token))
    }

    pub(crate) fn gateway_object(&self, cluster: &str, number: u8) -> Option<Value> {
        self.home(cluster).objects().get("gateways.submariner.io", HOME, &format!("{cluster}-{number}"))
    }

    pub(crate) fn impostor_object(&self, cluster: &str) -> Option<Value> {
        self.home("impostor").objects().get("gateways.submariner.io", HOME, &format!("{cluster}-7"))
    }

    /// Everything that a cluster's own gateways write at home, by resource.
    pub(crate) fn written_at_home(&self, cluster: &str) -> Vec<Value> {
        let store = self.home(cluster).objects();
        let node = format!("{cluster}-1");
        let private = underlay_address(cluster, 1).to_string().replace('.', "-");
        let endpoint = format!("{cluster}-submariner-cable-{cluster}-{private}");
        let names = [
            ("leases.coordination.k8s.io", "submariner-gateway-lock"),
            ("gateways.submariner.io", node.as_str()),
            ("endpoints.submariner.io", endpoint.as_str()),
            ("clusters.submariner.io", cluster),
        ];
        names.into_iter().filter_map(|(resource, name)| store.get(resource, HOME, name)).collect()
    }

    pub(crate) fn endpoint_on_hub(&self, cluster: &str, number: u8) -> Option<Value> {
        let private = underlay_address(cluster, number).to_string().replace('.', "-");
        let name = format!("{cluster}-submariner-cable-{cluster}-{private}");
        self.hub.objects().get("endpoints.submariner.io", BROKER, &name)
    }

    fn launch(
        &self,
        home: &'static str,
        cluster: &'static str,
        number: u8,
        adjust: impl FnOnce(&mut HubSettings),
    ) -> Gateway {
        self.prepare(
            Member { home, cluster, number, families: &[Family::V4], behind: Behind::Nothing },
            &json!({}),
            adjust,
        )
    }

    fn prepare(&self, member: Member, annotations: &Value, adjust: impl FnOnce(&mut HubSettings)) -> Gateway {
        let mut gateway = self.wired(member, annotations, adjust);
        gateway.start();
        gateway
    }

    fn wired(&self, member: Member, annotations: &Value, adjust: impl FnOnce(&mut HubSettings)) -> Gateway {
        let Member { home, cluster, families, .. } = member;
        let name = member.node();
        let labels = json!({"kubernetes.io/hostname": name, "submariner.io/gateway": "true"});
        let metadata = json!({"name": name, "labels": labels, "annotations": annotations});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
        self.homes[home].objects().create(node).unwrap();
        let inside = PerFamily::of(families.iter().map(|family| member.inside(*family)));
        let host = self.runtime.block_on(self.wire(member));
        let file = self.files.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&file, self.homes[home].kubeconfig()).unwrap();
        let mut hub = HubSettings {
            apiserver: self.hub.address().to_string(),
            token: Some(self.hub.join(cluster).unwrap()),
            namespace: BROKER.to_owned(),
            ca: Some(encode(&self.hub.authority())),
            ..HubSettings::default()
        };
        adjust(&mut hub);
        let config = config(member, hub, file);
        Gateway { host, config, inside, running: None }
    }

    async fn wire(&self, member: Member) -> Host {
        let host = Host::create(&member.node()).await.unwrap();
        self.connect(&host, member).await;
        host.add_bridge("cni0", 1500).await.unwrap();
        for family in member.families {
            let prefix = if *family == Family::V4 { 24 } else { 64 };
            let address = IpNet::new(member.inside(*family), prefix).unwrap();
            host.add_address("cni0", address).await.unwrap();
        }
        host.enter(|| lead_to_remote_clusters(member.families)).unwrap();
        host
    }
}

/// What the route agent of a node has: the rule to the table with the ways to remote clusters.
fn lead_to_remote_clusters(families: &[Family]) {
    let (scope, mut plan) = (Scope::route_agent(), NodePlan::default());
    for family in families {
        let selector = RuleSelector::default();
        plan.rules.insert(Rule { family: *family, priority: RULE_REMOTE, selector, table: TABLE_REMOTE });
    }
    let mut kernel = Kernel::open().unwrap();
    let state = kernel.observe(&scope, &plan).unwrap();
    let applied = kernel.apply(&scope, &diff(&state, &plan));
    assert!(applied.failures.is_empty(), "{:?}", applied.failures);
}

impl Gateway {
    pub(crate) fn start(&mut self) {
        let (shutdown, config) = (Shutdown::default(), self.config.clone());
        let asked = shutdown.clone();
        let thread = self.host.spawn("gateway", move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(submariner_gateway::serve(config, asked))
        });
        self.running = Some((shutdown, thread.unwrap()));
    }

    pub(crate) fn stop(&mut self) {
        if let Some((shutdown, thread)) = self.running.take() {
            shutdown.request();
            thread.join().unwrap().unwrap().unwrap();
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|(_, thread)| !thread.is_finished())
    }

    /// Ends the gateway and starts it anew with another carrier of WireGuard cables.
    pub(crate) fn restart_carried_by(&mut self, carrier: &str) {
        self.stop();
        self.config.wireguard_carrier = carrier.into();
        self.start();
    }

    /// Asks the other gateway's address inside its pods' network again and again.
    pub(crate) fn keep_pinging(&self, other: &Self, family: Family) -> PingRun {
        let to = *other.inside.get(family).unwrap();
        PingRun::start(&self.host, to, Duration::from_millis(20)).unwrap()
    }

    /// How long so many bytes take to an echo server of the other gateway, through the cable and past it.
    pub(crate) fn transfer(&self, other: &Self, bytes: u64) -> [Duration; 2] {
        let cluster = if other.config.cluster.as_str() == "east" { "east" } else { "west" };
        let inside = *other.inside.get(Family::V4).unwrap();
        [inside, underlay_address(cluster, 1).into()].map(|to| {
            traffic::transfer(&self.host, SocketAddr::new(to, ECHO_PORT), bytes, LIMIT).unwrap().took
        })
    }

    pub(crate) fn echo(&self, server: &EchoServer) {
        server.serve(&self.host).unwrap();
    }

    /// What a program of somebody else's prints there.
    pub(crate) fn listing(&self, command: &str) -> String {
        let run = || std::process::Command::new("sh").args(["-c", command]).output().unwrap();
        let output = self.host.enter(run).unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn ping(&self, other: &Self) -> Result<Duration, LabError> {
        self.ping_with(other, Family::V4, 1000)
    }

    /// Asks the other gateway's address inside its pods' network, with this many bytes.
    pub(crate) fn ping_with(&self, other: &Self, family: Family, bytes: usize) -> Result<Duration, LabError> {
        let to = *other.inside.get(family).unwrap();
        traffic::ping(&self.host, to, bytes, Duration::from_millis(300))
    }

    /// Takes an address from the uplink, and with it the way of a family.
    pub(crate) fn lose_uplink6(&self) {
        self.host.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1").unwrap();
    }

    pub(crate) fn set_uplink(&self, state: &str) {
        let up = state == "up";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let netlink = self.host.netlink().unwrap();
            if up {
                netlink.set_link_up("eth0").await.unwrap();
                self.host.add_route("0.0.0.0/0".parse().unwrap(), UNDERLAY).await.unwrap();
            } else {
                netlink.set_link_down("eth0").await.unwrap();
            }
        });
    }

    /// What a page of the admin endpoints says.
    pub(crate) fn page(&self, path: &str) -> Option<String> {
        use std::io::{Read as _, Write as _};
        let (port, request) = (self.config.metrics_port, format!("GET {path} HTTP/1.0\r\n\r\n"));
        let ask = move || {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        };
        self.host.enter(ask).unwrap()
    }

    /// What the gateway owns in the kernel, as text.
    pub(crate) fn kernel(&self) -> String {
        let look = || {
            let mut kernel = Kernel::open().unwrap();
            kernel.observe(&Scope::gateway(), &NodePlan::default()).unwrap().own.to_string()
        };
        self.host.enter(look).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some((shutdown, _)) = &self.running {
            shutdown.request();
        }
    }
}

fn serve(servers: &Servers, host: &Host, (which, namespace, port): (Which, &str, u16)) -> Cluster {
    let listener = host.enter(|| std::net::TcpListener::bind((UNDERLAY, port))).unwrap().unwrap();
    servers.cluster(which, namespace, listener).unwrap()
}

fn config(member: Member, hub: HubSettings, kubeconfig: std::path::PathBuf) -> Config {
    let (cluster, node) = (member.cluster, &member.node());
    let seconds = Duration::from_secs;
    Config {
        cluster: cluster.parse().unwrap(),
        namespace: HOME.to_owned(),
        cluster_cidrs: member.families.iter().map(|family| member.pods(*family)).collect(),
        service_cidrs: Vec::new(),
        driver: Backend::Vxlan,
        wireguard_carrier: WireguardCarrier::Best,
        public_ip: String::new(),
        nat_enabled: false,
        air_gapped: true,
        in_clear: subm_cable::InClear::Private,
        udp_port: 4500,
        psk: submariner_gateway::settings::Psk::Unset,
        ipsec: submariner_gateway::settings::IpsecConfig::default(),
        hub,
        lease: LeaseTiming {
            duration: seconds(3),
            renew_deadline: seconds(2),
            retry: Duration::from_millis(400),
        },
        health: Some(HealthCheck { interval: seconds(1), losses: 5 }),
        node_name: node.clone(),
        pod_name: None,
        metrics_port: 0,
        task: Task::Run,
        kubeconfig: Some(kubeconfig),
    }
}

fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn second(cluster: &str) -> u8 {
    if cluster == "east" { 1 } else { 2 }
}

fn underlay_address(cluster: &str, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 31, 0, second(cluster) * 10 + number)
}

fn underlay_address6(cluster: &str, number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd31, 0, 0, 0, 0, 0, u16::from(second(cluster)), u16::from(number))
}
