use insta::assert_snapshot;
use proptest::prelude::*;
use subm_types::endpoint::DEFAULT_UDP_PORT;
use subm_types::{Backend, CableName, CidrSet, Epoch, HostName};

use super::*;
use crate::{Claim, Host};

/// Cluster east, its node 172.18.0.2, and what is published.
struct World {
    endpoints: Vec<Endpoint>,
    claims: BTreeMap<ClusterId, Claim>,
    uid: Option<ClusterUid>,
}

fn nets(text: &str) -> CidrSet {
    text.split_whitespace().map(|net| net.parse().unwrap()).collect()
}

fn endpoint(cluster: &str, private: &str, subnets: &str) -> Endpoint {
    let name = format!("submariner-cable-{cluster}-{}", private.replace('.', "-"));
    Endpoint {
        object: format!("{cluster}-{name}"),
        cluster: cluster.parse().unwrap(),
        cable_name: CableName(name),
        hostname: HostName("gateway".to_owned()),
        subnets: subnets.split_whitespace().map(|net| net.parse().unwrap()).collect(),
        private_ips: PerFamily::of([private.parse().unwrap()]),
        public_ips: PerFamily::default(),
        health_check_ips: PerFamily::default(),
        nat_enabled: false,
        backend: Backend::Vxlan,
        udp_port: DEFAULT_UDP_PORT,
        nat_discovery_port: None,
        interface_name: None,
        public_key: None,
        preferred_server: None,
        cluster_uid: None,
        epoch: None,
        created: 100,
    }
}

fn world(endpoints: impl IntoIterator<Item = Endpoint>) -> World {
    World { endpoints: endpoints.into_iter().collect(), claims: BTreeMap::new(), uid: None }
}

impl World {
    fn claim(mut self, cluster: &str, networks: &str) -> Self {
        self.claims.insert(cluster.parse().unwrap(), Claim { networks: nets(networks), uid: None });
        self
    }

    fn accept(&self) -> Peers {
        accept(&View {
            cluster: &"east".parse().unwrap(),
            uid: self.uid.as_ref(),
            networks: nets("10.1.0.0/16 100.1.0.0/16"),
            hosts: vec![Host { name: "node worker".to_owned(), address: "172.19.0.7".parse().unwrap() }],
            uplinks: nets("172.18.0.0/24"),
            endpoints: &self.endpoints,
            claims: &self.claims,
        })
    }

    fn followed(&self) -> Vec<String> {
        self.accept().followed.iter().map(|endpoint| endpoint.object.clone()).collect()
    }

    fn problems(&self) -> String {
        let lines =
            self.accept().problems.into_iter().map(|problem| format!("{}: {problem}", problem.reason));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn closed(&self) -> Vec<String> {
        self.accept().closed.iter().map(ToString::to_string).collect()
    }
}

fn uid(text: &str) -> ClusterUid {
    ClusterUid(text.to_owned())
}

#[test]
fn the_highest_epoch_is_followed_and_one_without_only_if_there_is_no_other() {
    let old = Endpoint { created: 900, ..endpoint("west", "10.9.0.3", "10.2.0.0/16") };
    let new = Endpoint { epoch: Some(Epoch(2)), ..endpoint("west", "10.9.0.4", "10.2.0.0/16") };
    let go = Endpoint { created: 999, ..endpoint("west", "10.9.0.5", "10.2.0.0/16") };
    assert_eq!(world([old.clone(), new, go.clone()]).followed(), ["west-submariner-cable-west-10-9-0-4"]);
    assert_eq!(world([go, old]).followed(), ["west-submariner-cable-west-10-9-0-5"]);
}

#[test]
fn our_own_endpoint_is_no_peer() {
    let peers = world([endpoint("east", "172.18.0.2", "10.1.0.0/16")]).accept();
    assert_eq!((peers.local.unwrap().cluster.as_str(), peers.followed.len()), ("east", 0));
    assert!(peers.closed.is_empty());
}

#[test]
fn networks_that_are_somebody_elses_are_refused_with_their_reason() {
    let late = Endpoint { created: 101, ..endpoint("late", "10.9.0.4", "10.2.3.0/24") };
    let endpoints = [
        late,
        endpoint("west", "10.9.0.3", "10.2.0.0/16"),
        endpoint("ours", "10.9.0.5", "10.3.0.0/16 10.0.0.0/15"),
        endpoint("host", "10.9.0.6", "172.19.0.0/16"),
        endpoint("uplink", "10.9.0.7", "172.18.0.128/25"),
        endpoint("tunnel", "10.9.0.8", "241.1.0.0/16"),
        endpoint("nothing", "10.9.0.9", ""),
    ];
    let world = world(endpoints);
    assert_eq!(world.followed(), ["west-submariner-cable-west-10-9-0-3"]);
    assert_eq!(world.closed(), ["10.2.0.0/16"]);
    assert_snapshot!(world.problems(), @r"
    NoSubnets: Endpoint nothing-submariner-cable-nothing-10-9-0-9 field spec.subnets: it names no networks; join that cluster again with its real cluster and service CIDRs
    OverlappingCIDR: Endpoint host-submariner-cable-host-10-9-0-6 field spec.subnets: its networks 172.19.0.0/16 contain 172.19.0.7, the address of node worker; give one of the clusters other CIDRs, or join both with Globalnet
    OverlappingCIDR: Endpoint late-submariner-cable-late-10-9-0-4 field spec.subnets: 10.2.3.0/24 overlaps 10.2.0.0/16 of cluster west; give one of the clusters other CIDRs, or join both with Globalnet
    OverlappingCIDR: Endpoint ours-submariner-cable-ours-10-9-0-5 field spec.subnets: 10.0.0.0/15 overlaps 10.1.0.0/16 of this cluster; give one of the clusters other CIDRs, or join both with Globalnet
    OverlappingCIDR: Endpoint uplink-submariner-cable-uplink-10-9-0-7 field spec.subnets: 172.18.0.128/25 overlaps 172.18.0.0/24, the network that this node is in; give one of the clusters other CIDRs, or join both with Globalnet
    ReservedCIDR: Endpoint tunnel-submariner-cable-tunnel-10-9-0-8 field spec.subnets: 241.1.0.0/16 overlaps 240.0.0.0/7, which tunnels use for themselves; join that cluster again with its real cluster and service CIDRs
    ");
}

#[test]
fn networks_outside_of_the_claim_are_left_out_and_the_rest_stays() {
    let world = world([
        endpoint("west", "10.9.0.3", "10.2.0.0/16 10.7.0.0/16"),
        endpoint("north", "10.9.0.4", "10.8.0.0/16"),
    ])
    .claim("west", "10.2.0.0/16")
    .claim("north", "10.9.0.0/16");
    assert_eq!(world.followed(), ["west-submariner-cable-west-10-9-0-3"]);
    assert_eq!(world.accept().followed[0].subnets, ["10.2.0.0/16".parse().unwrap()]);
    assert_snapshot!(world.problems(), @r"
    UnclaimedCIDR: Endpoint north-submariner-cable-north-10-9-0-4 field spec.subnets: 10.8.0.0/16 is not among 10.9.0.0/16, the networks in Cluster north; restart that cluster's gateway, so that both objects say the same
    UnclaimedCIDR: Endpoint west-submariner-cable-west-10-9-0-3 field spec.subnets: 10.7.0.0/16 is not among 10.2.0.0/16, the networks in Cluster west; restart that cluster's gateway, so that both objects say the same
    ");
}

#[test]
fn a_second_cluster_of_one_id_is_told_apart_by_its_uid() {
    let first = Endpoint { cluster_uid: Some(uid("first")), ..endpoint("west", "10.9.0.3", "10.2.0.0/16") };
    let second = Endpoint {
        cluster_uid: Some(uid("second")),
        created: 200,
        epoch: Some(Epoch(9)),
        ..endpoint("west", "10.9.0.4", "10.7.0.0/16")
    };
    let stranger =
        Endpoint { cluster_uid: Some(uid("stranger")), ..endpoint("east", "10.9.0.5", "10.8.0.0/16") };
    let mut world = world([second, first, stranger]);
    world.uid = Some(uid("ours"));
    assert_eq!(world.followed(), ["west-submariner-cable-west-10-9-0-3"]);
    assert_eq!(world.accept().local, None);
    assert_snapshot!(world.problems(), @r"
    DuplicateClusterID: Endpoint east-submariner-cable-east-10-9-0-5 field spec.cluster_id: another cluster, of UID stranger, uses the id east, which is this cluster's; let one of the two leave and join again under another cluster id
    DuplicateClusterID: Endpoint west-submariner-cable-west-10-9-0-4 field spec.cluster_id: another cluster, of UID second, uses the id west, which is already taken; let one of the two leave and join again under another cluster id
    ");
    let claim = Claim { networks: nets("10.2.0.0/16 10.7.0.0/16"), uid: Some(uid("second")) };
    world.claims.insert("west".parse().unwrap(), claim);
    assert_eq!(world.followed(), ["west-submariner-cable-west-10-9-0-4"], "its Cluster says who it is");
}

#[test]
fn a_claim_closes_the_networks_of_a_cluster_without_an_endpoint() {
    let world = world([]).claim("west", "10.2.0.0/16").claim("east", "10.1.0.0/16");
    assert_eq!(world.closed(), ["10.2.0.0/16"]);
}

#[test]
fn a_claim_closes_nothing_that_is_ours_or_reached_through_another() {
    let evil = "10.2.5.0/24 10.0.0.0/14 10.1.4.0/24 172.18.0.9/32 172.19.0.0/16 240.0.0.0/8 10.66.0.0/16";
    let west = endpoint("west", "10.9.0.3", "10.2.0.0/16");
    let world = world([west]).claim("evil", evil).claim("west", "10.2.0.0/16");
    assert_eq!(world.closed(), ["10.2.0.0/16", "10.66.0.0/16"]);
}

#[test]
fn nobody_else_is_probed_on_a_members_word() {
    let address = |text: &str| PerFamily::of([text.parse().unwrap()]);
    let good =
        Endpoint { health_check_ips: address("10.2.0.1"), ..endpoint("west", "10.9.0.3", "10.2.0.0/16") };
    let evil =
        Endpoint { health_check_ips: address("10.2.0.1"), ..endpoint("evil", "10.9.0.4", "10.66.0.0/16") };
    let world = world([evil, good.clone()]);
    let followed = world.accept().followed;
    assert_eq!(followed[0].health_check_ips, PerFamily::default());
    assert_eq!(followed[1], good);
    assert_snapshot!(world.problems(), @"ForeignHealthCheckIP: Endpoint evil-submariner-cable-evil-10-9-0-4 field spec.healthCheckIP: 10.2.0.1 is not among its networks 10.66.0.0/16, so it is not probed; restart that cluster's gateway, which takes an address of its pods' networks");
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let cluster = prop_oneof![Just("west"), Just("north"), Just("evil"), Just("east")];
    let net = (0_u8..8, 8_u8..=32).prop_map(|(byte, prefix)| format!("10.{byte}.0.0/{prefix}"));
    let epoch = prop_oneof![Just(None), Just(Some(Epoch(1))), Just(Some(Epoch(u64::MAX)))];
    let subnets = prop::collection::vec(net, 0..3);
    (cluster, 1_u8..5, subnets, epoch, 0_i64..3).prop_map(|(cluster, host, subnets, epoch, created)| {
        Endpoint { epoch, created, ..endpoint(cluster, &format!("10.9.0.{host}"), &subnets.join(" ")) }
    })
}

proptest! {
    #[test]
    fn no_network_leads_to_two_clusters_or_is_ours_and_order_does_not_matter(
        endpoints in prop::collection::vec(any_endpoint(), 0..8),
        claims in prop::collection::btree_map(0_u8..8, 8_u8..=32, 0..4),
    ) {
        // An API server has one object of a name.
        let named: BTreeMap<_, _> =
            endpoints.into_iter().map(|endpoint| (endpoint.object.clone(), endpoint)).collect();
        let mut world = world(named.into_values());
        let networks = claims.iter().map(|(byte, prefix)| format!("10.{byte}.0.0/{prefix} "));
        world = world.claim("claimant", &networks.collect::<String>());
        let peers = world.accept();
        let ours = nets("10.1.0.0/16 100.1.0.0/16 172.18.0.0/24 172.19.0.7/32");
        for (index, one) in peers.followed.iter().enumerate() {
            prop_assert_eq!(ours.overlap_with(&one.subnet_set()), None);
            for other in peers.followed.iter().skip(index + 1) {
                prop_assert_eq!(one.subnet_set().overlap_with(&other.subnet_set()), None);
            }
            for net in &peers.closed {
                let mine = one.subnets.iter().any(|own| own.trunc() == *net);
                prop_assert!(mine || one.subnet_set().overlap(net).is_none(), "{net} closes {}", one.object);
            }
        }
        world.endpoints.reverse();
        prop_assert_eq!(world.accept(), peers);
    }
}
