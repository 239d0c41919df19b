//! One cluster of a clusterset: a node that is its gateway, with one pod.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use subm_apiserver::{Rule, Verb};
use subm_lab::{ECHO_PORT, Host, STATE_DIR, Veth};
use subm_servers::{Servers, Which};

use super::{Api, BROKER_NAMESPACE, Clusterset, Condition, MTU, OPERATOR_NAMESPACE, plug};
use crate::{Daemon, Kind, program};

const BRIDGE: &str = "cni0";
const READ: [Verb; 3] = [Verb::Get, Verb::List, Verb::Watch];

/// A cluster.
#[derive(Debug)]
pub struct Member {
    /// Its id.
    pub name: &'static str,
    number: u8,
    /// The node.
    pub node: Host,
    /// The pod, with an echo server.
    pub pod: Host,
    /// Its own API.
    pub home: Api,
    hub: Api,
    hub_token: String,
    daemons: BTreeMap<&'static str, Daemon>,
}

impl Member {
    pub(super) async fn lay(
        servers: &Servers,
        (name, number, which): (&'static str, u8, Which),
        wan: &Host,
        hub: &Api,
    ) -> Result<Self> {
        let node = Host::create(name).await?;
        plug(&node, wan, Ipv4Addr::new(172, 30, 0, 10 + number)).await?;
        node.forward_packets()?;
        node.add_bridge(BRIDGE, MTU).await?;
        node.add_address(BRIDGE, format!("10.{number}.0.1/24").parse()?).await?;
        let pod = Host::create(&format!("{name}-pod")).await?;
        Veth { here: (&node, "veth-pod"), there: (&pod, "eth0"), mtu: MTU }.lay().await?;
        node.attach("veth-pod", BRIDGE).await?;
        pod.add_address("eth0", format!("10.{number}.0.2/24").parse()?).await?;
        pod.add_route("0.0.0.0/0".parse()?, Ipv4Addr::new(10, number, 0, 1)).await?;
        // The node's default route, as any node has one: it is how the way to the outside is found.
        node.add_route("0.0.0.0/0".parse()?, Ipv4Addr::new(172, 30, 0, 2)).await?;
        let home = Api::start(servers, which, (&node, Ipv4Addr::LOCALHOST), OPERATOR_NAMESPACE)?;
        home.create(json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "submariner.io/gateway": "true"}},
            "spec": {"podCIDR": format!("10.{number}.0.0/24")},
            "status": {"addresses": [{"type": "InternalIP", "address": format!("172.30.0.{}", 10 + number)}]},
        }))?;
        let hub_token = Clusterset::member_token(hub, name)?;
        let hub = hub.clone();
        Ok(Self { name, number, node, pod, home, hub, hub_token, daemons: BTreeMap::new() })
    }

    /// The pod's echo server.
    pub fn echo(&self) -> SocketAddr {
        (Ipv4Addr::new(10, self.number, 0, 2), ECHO_PORT).into()
    }

    /// What the gateway may do at home in an installation.
    pub fn gateway_rules() -> Vec<Rule> {
        vec![
            Rule::on("", &["nodes", "pods", "services", "namespaces"]).verbs(&READ),
            Rule::on("", &["pods"]).verbs(&[Verb::Patch, Verb::Update]).within(OPERATOR_NAMESPACE),
            Rule::on("", &["events"]).verbs(&[Verb::Create, Verb::Patch]),
            Rule::on("coordination.k8s.io", &["leases"]).within(OPERATOR_NAMESPACE),
            Rule::on("submariner.io", &["clusters", "endpoints", "gateways"]).within(OPERATOR_NAMESPACE),
        ]
    }

    /// What the route agent may do at home in an installation.
    pub fn route_agent_rules() -> Vec<Rule> {
        let read = ["clusters", "endpoints", "gateways"];
        vec![
            Rule::on("", &["nodes", "pods", "services", "namespaces"]).verbs(&READ),
            Rule::on("", &["events"]).verbs(&[Verb::Create, Verb::Patch]),
            Rule::on("submariner.io", &read).verbs(&READ).within(OPERATOR_NAMESPACE),
            Rule::on("submariner.io", &["routeagents"]).within(OPERATOR_NAMESPACE),
        ]
    }

    /// Starts a daemon, or kills the running one and starts it again; `changes` replace settings by name.
    pub fn start(&mut self, kind: Kind, changes: &[(&'static str, String)]) -> Result<&mut Daemon> {
        self.start_under(&[], kind, changes)
    }

    /// The same by another program, such as one that takes rights away.
    pub fn start_under(
        &mut self,
        wrapper: &[&str],
        kind: Kind,
        changes: &[(&'static str, String)],
    ) -> Result<&mut Daemon> {
        self.stop(kind);
        let mut environment = self.environment(kind)?;
        for (name, value) in changes {
            environment.retain(|(known, _)| known != name);
            environment.push((name, value.clone()));
        }
        let mut words: Vec<String> = wrapper.iter().map(|&word| word.to_owned()).collect();
        words.extend([program("submariner")?.display().to_string(), kind.name().to_owned()]);
        let log = PathBuf::from(STATE_DIR).join(format!("{}-{}.log", self.name, kind.name()));
        let daemon = Daemon::start(&self.node, &words, &environment, log)?;
        self.daemons.insert(kind.name(), daemon);
        self.daemon(kind)
    }

    /// Kills a daemon, if it runs.
    pub fn stop(&mut self, kind: Kind) {
        self.daemons.remove(kind.name());
    }

    /// A daemon that was started.
    pub fn daemon(&mut self, kind: Kind) -> Result<&mut Daemon> {
        self.daemons.get_mut(kind.name()).with_context(|| format!("no {} was started", kind.name()))
    }

    /// What every daemon of this cluster said so far.
    pub fn logs(&self) -> String {
        let log = |(kind, daemon): (&&str, &Daemon)| format!("--- {}/{kind}\n{}\n", self.name, daemon.log());
        self.daemons.iter().map(log).collect()
    }

    /// A condition of the Gateway or RouteAgent of the node.
    pub fn condition(&self, kind: Kind, condition: &str) -> Result<Condition> {
        let resource = match kind {
            Kind::Gateway => "gateways.submariner.io",
            Kind::RouteAgent => "routeagents.submariner.io",
        };
        self.home.condition((resource, OPERATOR_NAMESPACE, self.name), condition)
    }

    /// A file with a kubeconfig for a user of this cluster with these rules.
    pub fn kubeconfig(&self, user: &str, rules: &[Rule]) -> Result<String> {
        let token = self.home.grant(user, rules)?;
        let path = PathBuf::from(STATE_DIR).join(format!("{}-{user}.kubeconfig", self.name));
        fs::write(&path, self.home.kubeconfig(&token))?;
        Ok(path.display().to_string())
    }

    fn environment(&self, kind: Kind) -> Result<Vec<(&'static str, String)>> {
        let number = self.number;
        let rules = match kind {
            Kind::Gateway => Self::gateway_rules(),
            Kind::RouteAgent => Self::route_agent_rules(),
        };
        let mut environment = vec![
            ("SUBMARINER_NAMESPACE", OPERATOR_NAMESPACE.to_owned()),
            ("SUBMARINER_CLUSTERID", self.name.to_owned()),
            ("SUBMARINER_CLUSTERCIDR", format!("10.{number}.0.0/16")),
            ("SUBMARINER_SERVICECIDR", format!("100.{}.0.0/16", 64 + number)),
            ("SUBMARINER_HEALTHCHECKENABLED", "true".to_owned()),
            ("SUBMARINER_HEALTHCHECKINTERVAL", "1".to_owned()),
            ("NODE_NAME", self.name.to_owned()),
            ("KUBECONFIG", self.kubeconfig(kind.name(), &rules)?),
        ];
        match kind {
            Kind::RouteAgent => environment.push(("SUBMARINER_NETWORKPLUGIN", "generic".to_owned())),
            Kind::Gateway => environment.extend([
                ("SUBMARINER_CABLEDRIVER", "vxlan".to_owned()),
                ("SUBMARINER_NATENABLED", "false".to_owned()),
                ("SUBMARINER_HALT_ON_CERT_ERROR", "true".to_owned()),
                ("AIR_GAPPED_DEPLOYMENT", "true".to_owned()),
                ("BROKER_K8S_APISERVER", self.hub.endpoint()),
                ("BROKER_K8S_APISERVERTOKEN", self.hub_token.clone()),
                ("BROKER_K8S_REMOTENAMESPACE", BROKER_NAMESPACE.to_owned()),
                ("BROKER_K8S_CA", STANDARD.encode(self.hub.authority())),
            ]),
        }
        Ok(environment)
    }
}
