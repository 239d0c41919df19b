//! What others publish wrongly, what is configured wrongly, and what is not there: it is told, and what worked goes on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use subm_apiserver::{Authority, Rule, Verb};
use subm_e2e::{BROKER_NAMESPACE, Clusterset, Condition, Kind, Member, Outage, until};
use subm_lab::traffic::PingRun;

/// Joined clusters, and a ping from one to the other that must not lose a packet whatever the test does.
struct Joined {
    set: Clusterset,
    ping: PingRun,
}

impl Joined {
    fn new() -> Result<Self> {
        let mut set = Clusterset::new()?;
        set.join().with_context(|| set.logs())?;
        let std::net::IpAddr::V4(target) = set.west.echo().ip() else { anyhow::bail!("pods have IPv4") };
        // The first packets may wait for neighbours to be found.
        let ping = PingRun::start(&set.east.pod, target, Duration::from_millis(20))?;
        Ok(Self { set, ping })
    }

    /// All went well, except what was told.
    fn end(mut self, check: impl FnOnce(&mut Clusterset) -> Result<()>) -> Result<()> {
        check(&mut self.set).with_context(|| self.set.logs())?;
        self.set.works()?;
        let report = self.ping.stop()?;
        ensure!(
            report.sent > 0 && report.lost.is_empty(),
            "{} packets of {} were lost",
            report.lost.len(),
            report.sent
        );
        Ok(())
    }
}

/// Waits until a condition is false and says all this.
fn told(member: &Member, kind: Kind, condition: &str, words: &[&str]) -> Result<Condition> {
    until("a condition tells it", || {
        let found = member.condition(kind, condition)?;
        ensure!(found.status == "False", "{condition} of {} is {found:?}", member.name);
        for word in words {
            ensure!(
                found.message.contains(word),
                "{word:?} is not in {condition} of {}: {found:?}",
                member.name
            );
        }
        Ok(found)
    })
}

fn fine(member: &Member, kind: Kind, condition: &str) -> Result<()> {
    until("a condition holds again", || {
        let found = member.condition(kind, condition)?;
        ensure!(found.status == "True", "{condition} of {} is {found:?}", member.name);
        Ok(())
    })
}

/// An Endpoint on the hub, as a gateway of that cluster would write it.
fn endpoint(cluster: &str, uid: &str, address: &str, subnets: &[&str]) -> Value {
    let cable = format!("submariner-cable-{cluster}-{}", address.replace('.', "-"));
    json!({
        "apiVersion": "submariner.io/v1",
        "kind": "Endpoint",
        "metadata": {
            "namespace": BROKER_NAMESPACE,
            "name": format!("{cluster}-{cable}"),
            "labels": {"submariner-io/clusterID": cluster},
            "annotations": {"submariner.io/cluster-uid": uid, "submariner.io/epoch": "1"},
        },
        "spec": {
            "backend": "vxlan",
            "backend_config": {"udp-port": "4500"},
            "cable_name": cable,
            "cluster_id": cluster,
            "healthCheckIP": "",
            "healthCheckIPs": [],
            "hostname": format!("{cluster}-gateway"),
            "nat_enabled": false,
            "private_ip": address,
            "privateIPs": [address],
            "public_ip": "",
            "publicIPs": [],
            "subnets": subnets,
        },
    })
}

/// The Cluster object beside an Endpoint.
fn cluster(endpoint: &Value, uid: &str, networks: &[&str]) -> Value {
    let name = &endpoint["spec"]["cluster_id"];
    json!({
        "apiVersion": "submariner.io/v1",
        "kind": "Cluster",
        "metadata": {
            "namespace": BROKER_NAMESPACE,
            "name": name,
            "labels": {"submariner-io/clusterID": name},
            "annotations": {"submariner.io/cluster-uid": uid, "submariner.io/counter": "1"},
        },
        "spec": {
            "cluster_id": name,
            "cluster_cidr": networks,
            "service_cidr": [],
            "global_cidr": [],
            "color_codes": ["blue"],
        },
    })
}

fn delete_endpoint(set: &Clusterset, object: &Value) -> Result<()> {
    let name = object["metadata"]["name"].as_str().context("an object has a name")?;
    set.hub.objects().delete("endpoints.submariner.io", BROKER_NAMESPACE, name)?;
    Ok(())
}

#[test]
fn networks_that_overlap_or_are_none_are_named_and_left_out() -> Result<()> {
    Joined::new()?.end(|set| {
        let overlapping = endpoint("north", "uid-north", "172.30.0.13", &["10.1.128.0/17", "100.67.0.0/16"]);
        let unreadable = endpoint("south", "uid-south", "172.30.0.14", &["10.300.0.0/16"]);
        let swallowing = endpoint("all", "uid-all", "172.30.0.15", &["0.0.0.0/0"]);
        for (object, uid, networks) in [
            (&overlapping, "uid-north", &["10.1.128.0/17", "100.67.0.0/16"][..]),
            (&unreadable, "uid-south", &["10.3.0.0/16"]),
            (&swallowing, "uid-all", &["10.4.0.0/16"]),
        ] {
            set.hub.create(cluster(object, uid, networks))?;
            set.hub.create(object.clone())?;
        }
        let overlap = ["north", "field spec.", "10.1.128.0/17 overlaps 10.1.0.0/16", "Globalnet"];
        let none =
            ["Endpoint south-", "spec.subnets[0]", "\"10.300.0.0/16\" is no network", "correct the networks"];
        let all = ["Endpoint all-", "spec.subnets[0]", "0.0.0.0/0"];
        for member in [&set.east, &set.west] {
            for words in [&overlap[..], &none, &all] {
                told(member, Kind::Gateway, "EndpointsAccepted", words)?;
            }
        }
        set.works()?;
        for object in [&overlapping, &unreadable, &swallowing] {
            delete_endpoint(set, object)?;
            let name = object["spec"]["cluster_id"].as_str().unwrap_or_default();
            set.hub.objects().delete("clusters.submariner.io", BROKER_NAMESPACE, name)?;
        }
        for member in [&set.east, &set.west] {
            for kind in [Kind::Gateway, Kind::RouteAgent] {
                fine(member, kind, "EndpointsAccepted")?;
            }
        }
        Ok(())
    })
}

#[test]
fn cluster_id_of_another_is_told_apart_by_uid() -> Result<()> {
    Joined::new()?.end(|set| {
        let impostor = endpoint("west", "uid-impostor", "172.30.0.13", &["10.9.0.0/16"]);
        set.hub.create(impostor.clone())?;
        let words = ["Endpoint west-submariner-cable-west-172-30-0-13", "cluster-uid", "uid-impostor"];
        let found = told(&set.east, Kind::Gateway, "ClusterIDUnique", &words)?;
        ensure!(
            found.reason == "DuplicateClusterID" && found.message.contains("join one of the two"),
            "{found:?}"
        );
        // The cluster whose id it is says so too, and does not give way.
        told(&set.west, Kind::Gateway, "ClusterIDUnique", &words)?;
        set.works()?;
        delete_endpoint(set, &impostor)?;
        fine(&set.east, Kind::Gateway, "ClusterIDUnique")?;
        fine(&set.west, Kind::Gateway, "ClusterIDUnique")
    })
}

#[test]
fn hub_with_a_wrong_certificate_is_not_trusted_and_cables_stay() -> Result<()> {
    Joined::new()?.end(|set| {
        let stranger = Authority::new("stranger CA")?;
        let wrong = ("BROKER_K8S_CA", STANDARD.encode(stranger.pem()));
        set.east.start(Kind::Gateway, &[wrong])?;
        let words = ["172.30.0.2:6443", "BROKER_K8S_CA", "stranger CA", set.hub.authority_name()];
        let found = told(&set.east, Kind::Gateway, "HubConnected", &words)?;
        ensure!(found.reason == "UntrustedCertificate", "{found:?}");
        set.works()?;
        set.east.daemon(Kind::Gateway)?.is_up()?;
        set.east.start(Kind::Gateway, &[])?;
        fine(&set.east, Kind::Gateway, "HubConnected")
    })
}

#[test]
fn lost_hub_is_told_and_changes_nothing() -> Result<()> {
    Joined::new()?.end(|set| {
        for outage in [Outage::Refuses, Outage::CutOff] {
            set.hub_is(outage)?;
            let words = ["172.30.0.2:6443", "cannot be reached", "check the address"];
            let found = told(&set.east, Kind::Gateway, "HubConnected", &words)
                .with_context(|| format!("{outage:?}"))?;
            ensure!(found.reason == "Unreachable", "{found:?}");
            set.works()?;
            // A gateway that starts meanwhile takes what is at home.
            set.west.start(Kind::Gateway, &[])?;
            told(&set.west, Kind::Gateway, "HubConnected", &words)?;
            set.works()?;
            set.hub_is(Outage::Over)?;
            for member in [&set.east, &set.west] {
                fine(member, Kind::Gateway, "HubConnected")?;
            }
        }
        Ok(())
    })
}

#[test]
fn rights_that_are_missing_on_the_hub_are_named() -> Result<()> {
    Joined::new()?.end(|set| {
        let read_only = [Rule::on("submariner.io", &["clusters", "endpoints"])
            .verbs(&[Verb::Get, Verb::List, Verb::Watch])
            .within(BROKER_NAMESPACE)];
        let token = set.hub.grant("reader", &read_only)?;
        set.east.start(Kind::Gateway, &[("BROKER_K8S_APISERVERTOKEN", token)])?;
        // Somebody else changes what it published: it must write it again.
        let own = "east-submariner-cable-east-172-30-0-11";
        let edit = json!({"spec": {"hostname": "somebody-else"}});
        set.hub.objects().merge("endpoints.submariner.io", BROKER_NAMESPACE, own, edit)?;
        let words = ["172.30.0.2:6443", "submariner.io", "east", "403", "grant the verb"];
        let found = told(&set.east, Kind::Gateway, "HubAuthorized", &words)?;
        ensure!(found.reason == "Forbidden", "{found:?}");
        set.east.daemon(Kind::Gateway)?.is_up()?;

        set.east.start(Kind::Gateway, &[("BROKER_K8S_APISERVERTOKEN", "nobody's".to_owned())])?;
        let found =
            told(&set.east, Kind::Gateway, "HubAuthorized", &["401", "renew the token or join again"])?;
        ensure!(found.reason == "Unauthorized", "{found:?}");
        set.east.daemon(Kind::Gateway)?.is_up()?;
        set.east.start(Kind::Gateway, &[])?;
        fine(&set.east, Kind::Gateway, "HubAuthorized")
    })
}

/// The rules less one resource.
fn without(resource: &str, mut rules: Vec<Rule>) -> Vec<Rule> {
    for rule in &mut rules {
        if let subm_apiserver::Allowed::Only(resources) = &mut rule.resources {
            resources.retain(|known| known != resource);
        }
    }
    rules
}

#[test]
fn rights_that_are_missing_at_home_are_named_and_nothing_is_undone() -> Result<()> {
    Joined::new()?.end(|set| {
        for (kind, resource, rules) in [
            (Kind::RouteAgent, "endpoints", Member::route_agent_rules()),
            (Kind::RouteAgent, "routeagents", Member::route_agent_rules()),
            (Kind::Gateway, "leases", Member::gateway_rules()),
            (Kind::Gateway, "gateways", Member::gateway_rules()),
            (Kind::Gateway, "endpoints", Member::gateway_rules()),
        ] {
            let kubeconfig = set.east.kubeconfig("poor", &without(resource, rules))?;
            set.east.start(kind, &[("KUBECONFIG", kubeconfig)])?;
            until("the daemon names what it may not do", || {
                let log = set.east.daemon(kind)?.log();
                let line = log.lines().find(|line| line.contains("403") && line.contains(resource));
                let line = line.with_context(|| format!("{resource}: {log}"))?;
                ensure!(line.contains("grant the verb"), "{line}");
                Ok(())
            })?;
            set.works().with_context(|| format!("{} without {resource}", kind.name()))?;
            set.east.daemon(kind)?.is_up()?;
            set.east.start(kind, &[])?;
        }
        fine(&set.east, Kind::Gateway, "DataPathProgrammed")?;
        fine(&set.east, Kind::RouteAgent, "DataPathProgrammed")
    })
}

#[test]
fn unknown_network_plugin_is_treated_as_generic_and_named() -> Result<()> {
    Joined::new()?.end(|set| {
        set.east.start(Kind::RouteAgent, &[("SUBMARINER_NETWORKPLUGIN", "spaghetti".to_owned())])?;
        let words = ["\"spaghetti\"", "generic", "known are"];
        let found = told(&set.east, Kind::RouteAgent, "NetworkPluginSupported", &words)?;
        ensure!(found.reason == "UnknownNetworkPlugin", "{found:?}");
        fine(&set.east, Kind::RouteAgent, "DataPathProgrammed")?;
        set.works()
    })
}

#[test]
fn missing_right_to_change_the_network_is_told_and_nothing_is_undone() -> Result<()> {
    const WITHOUT: [&str; 4] = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "--"];
    Joined::new()?.end(|set| {
        set.east.start_under(&WITHOUT, Kind::RouteAgent, &[])?;
        let found =
            told(&set.east, Kind::RouteAgent, "KernelSupported", &["nftables", "VXLAN", "CAP_NET_ADMIN"])?;
        ensure!(found.reason == "MissingFeature", "{found:?}");
        set.works()?;
        set.east.daemon(Kind::RouteAgent)?.is_up()?;
        set.east.start_under(&WITHOUT, Kind::Gateway, &[])?;
        told(&set.east, Kind::Gateway, "Configured", &["VXLAN", "CAP_NET_ADMIN"])?;
        set.works()?;
        set.east.daemon(Kind::Gateway)?.is_up()
    })
}

#[test]
fn settings_that_mean_nothing_are_all_named_at_once() -> Result<()> {
    let mut set = Clusterset::new()?;
    let wrong = [
        ("SUBMARINER_CLUSTERID", "East!".to_owned()),
        ("SUBMARINER_CLUSTERCIDR", "10.1.0.0/33".to_owned()),
        ("SUBMARINER_SERVICECIDR", "services".to_owned()),
    ];
    for kind in [Kind::Gateway, Kind::RouteAgent] {
        let daemon = set.east.start(kind, &wrong)?;
        let status = until("it ends", || daemon.ended()?.context("it still runs"))?;
        let log = daemon.log();
        ensure!(status.code() == Some(64), "{status}: {log}");
        for (name, _) in &wrong {
            ensure!(log.contains(name), "{name} is not named: {log}");
        }
    }
    Ok(())
}
