use super::*;
use serde_json::json;
use subm_kube::{Action, Key};
use subm_plan::LinkFacts;
use subm_route::{NodeName, Role};
use subm_types::{Mtu, PerFamily};

use crate::settings::Arguments;

const WEST: &str = "west-submariner-cable-west-172-19-0-2";

fn settings() -> Settings {
    let some = |text: &str| Some(text.to_owned());
    let given = Arguments {
        node_name: some("east-worker"),
        cluster_id: some("east"),
        namespace: some("submariner-operator"),
        cluster_cidr: some("10.1.0.0/16"),
        service_cidr: some("100.1.0.0/16"),
        ..Arguments::default()
    };
    Settings::try_from(given).unwrap()
}

fn endpoint(cluster: &str, hostname: &str, address: &str, subnets: &[&str]) -> ApiEndpoint {
    let cable = format!("submariner-cable-{cluster}-{}", address.replace('.', "-"));
    let object = json!({
        "apiVersion": "submariner.io/v1",
        "kind": "Endpoint",
        "metadata": { "name": format!("{cluster}-{cable}"), "namespace": "submariner-operator" },
        "spec": {
            "cluster_id": cluster, "cable_name": cable, "hostname": hostname, "subnets": subnets,
            "private_ip": address, "public_ip": "", "nat_enabled": false, "backend": "vxlan",
        },
    });
    serde_json::from_value(object).unwrap()
}

fn node(name: &str, address: &str) -> ApiNode {
    let object = json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name }, "resourceVersion": "7" },
        "status": {
            "addresses": [
                { "type": "Hostname", "address": name }, { "type": "InternalIP", "address": address },
            ],
            "images": [{ "names": ["a"] }],
        },
    });
    let mut node = serde_json::from_value(object).unwrap();
    trim(&mut node);
    node
}

fn facts() -> Input {
    let uplink = LinkFacts {
        index: 2,
        mtu: Some(Mtu(1500)),
        up: true,
        addresses: vec!["172.18.0.3/24".parse().unwrap()],
        ..LinkFacts::default()
    };
    let uplink_name: subm_types::IfName = "eth0".parse().unwrap();
    Input::Facts(Box::new(HostFacts {
        links: BTreeMap::from([(uplink_name.clone(), uplink)]),
        default_route: PerFamily { v4: Some(uplink_name), v6: None },
        ..HostFacts::default()
    }))
}

fn east() -> ApiEndpoint {
    endpoint("east", "east-gateway", "172.18.0.2", &["10.1.0.0/16", "100.1.0.0/16"])
}

fn west() -> ApiEndpoint {
    endpoint("west", "west-gateway", "172.19.0.2", &["10.2.0.0/16"])
}

fn listed<K>(objects: Vec<K>) -> Box<Event<K>> {
    Box::new(Event::Snapshot { objects, unreadable: Vec::new() })
}

fn applied(endpoint: ApiEndpoint) -> Input {
    Input::Endpoints(Box::new(Event::Applied(endpoint)))
}

fn view(inputs: Vec<Input>) -> AgentView {
    let mut view = AgentView::new(settings());
    for input in inputs {
        view.apply(input);
    }
    view
}

fn lists() -> Vec<Input> {
    let nodes = vec![node("east-gateway", "172.18.0.2"), node("east-worker", "172.18.0.3")];
    vec![
        facts(),
        Input::Nodes(listed(nodes)),
        Input::Endpoints(listed(vec![east(), west()])),
        Input::Clusters(listed(Vec::new())),
    ]
}

fn complete() -> AgentView {
    view(lists())
}

#[test]
fn nothing_is_planned_before_every_list_is_complete() {
    for missing in 0..lists().len() {
        let mut inputs = lists();
        inputs.remove(missing);
        let incomplete = view(inputs);
        assert!(incomplete.outlook().is_none(), "without input {missing}");
        assert_eq!(incomplete.waiting().len(), 1);
    }
    let complete = complete();
    assert!(complete.outlook().is_some() && complete.waiting().is_empty());
}

#[test]
fn clusters_that_may_not_be_listed_are_not_waited_for() {
    let mut inputs = lists();
    inputs.pop();
    let action = Action {
        verb: "list",
        resource: "clusters.submariner.io".to_owned(),
        namespace: "submariner-operator".to_owned(),
        name: String::new(),
    };
    let error =
        ApiError::Forbidden { server: "home".to_owned(), action: Box::new(action), reason: "no".to_owned() };
    inputs.push(Input::Clusters(Box::new(Event::Unavailable(error))));
    let view = view(inputs);
    assert!(view.outlook().is_some());
    assert!(view.waiting()[0].contains("clusters.submariner.io"), "{:?}", view.waiting());
}

#[test]
fn an_endpoint_becomes_a_route_through_its_gateway() {
    let outlook = complete().outlook().unwrap();
    assert_eq!(outlook.plan.role, Role::Worker { gateway: NodeName("east-gateway".to_owned()) });
    assert!(outlook.plan.node.to_string().contains("route 10.2.0.0/16 via 240.18.0.2 dev vx-submariner"));
}

#[test]
fn an_update_that_cannot_be_read_keeps_what_worked_and_is_told() {
    let mut view = complete();
    let before = view.outlook().unwrap();
    let broken = endpoint("west", "west-gateway", "172.19.0.2", &["10.2.0.0/33"]);
    assert_eq!(view.apply(applied(broken)), Dirty::Yes);
    let outlook = view.outlook().unwrap();
    assert_eq!(outlook.plan.node, before.plan.node);
    assert_eq!(outlook.problems.len(), 1);
    assert!(outlook.problems[0].object.contains(WEST));
    view.apply(applied(west()));
    assert_eq!(view.outlook().unwrap(), before);
}

#[test]
fn an_endpoint_that_was_never_readable_is_left_out() {
    let mut view = complete();
    view.apply(applied(endpoint("north", "n", "172.20.0.2", &["ten"])));
    let outlook = view.outlook().unwrap();
    assert_eq!(outlook.plan.remotes.len(), 1);
    assert_eq!(outlook.problems[0].field, "spec.subnets[0]");
}

#[test]
fn a_list_after_a_gap_forgets_what_is_not_in_it() {
    let mut view = complete();
    assert_eq!(view.apply(Input::Endpoints(listed(vec![east()]))), Dirty::Yes);
    assert!(view.outlook().unwrap().plan.remotes.is_empty());
    assert_eq!(view.apply(Input::Endpoints(listed(vec![east()]))), Dirty::No);
}

#[test]
fn the_loss_of_the_api_changes_no_plan() {
    let mut view = complete();
    let before = view.outlook().unwrap();
    let action =
        Action { verb: "list", resource: String::new(), namespace: String::new(), name: String::new() };
    let lost = ApiError::Unreachable {
        server: "home".to_owned(),
        action: Box::new(action),
        reason: "down".to_owned(),
    };
    view.apply(Input::Endpoints(Box::new(Event::Unavailable(lost.clone()))));
    view.apply(Input::Nodes(Box::new(Event::Unavailable(lost))));
    assert_eq!(view.outlook().unwrap(), before);
    assert_eq!(view.waiting().len(), 2);
}

#[test]
fn a_deleted_endpoint_is_gone() {
    let mut view = complete();
    let gone = || Input::Endpoints(Box::new(Event::Deleted(Key::new("submariner-operator", WEST))));
    assert_eq!(view.apply(gone()), Dirty::Yes);
    assert_eq!(view.apply(gone()), Dirty::No);
    assert!(view.outlook().unwrap().plan.node.routes.is_empty());
}

#[test]
fn the_networks_of_a_known_cluster_stay_closed_without_its_endpoint() {
    let object = json!({
        "metadata": { "name": "west", "namespace": "submariner-operator" },
        "spec": {
            "cluster_id": "west", "cluster_cidr": ["10.2.0.0/16"], "service_cidr": ["100.2.0.0/16"],
            "global_cidr": [],
        },
    });
    let mut view = complete();
    view.apply(Input::Clusters(Box::new(Event::Applied(serde_json::from_value(object).unwrap()))));
    view.apply(Input::Endpoints(listed(vec![east()])));
    let text = view.outlook().unwrap().plan.node.to_string();
    assert!(text.contains("unreachable 10.2.0.0/16") && text.contains("unreachable 100.2.0.0/16"), "{text}");
}

#[test]
fn a_heartbeat_of_a_node_plans_nothing_anew() {
    let mut view = complete();
    let beat = |node| Input::Nodes(Box::new(Event::Applied(node)));
    assert_eq!(view.apply(beat(node("east-worker", "172.18.0.3"))), Dirty::No);
    assert_eq!(view.apply(beat(node("east-new", "172.18.0.9"))), Dirty::Yes);
    assert_eq!(view.outlook().unwrap().plan.node.fdb.len(), 2);
}
