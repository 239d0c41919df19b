//! What is refused, and that it is named and leaves what worked.

use subm_api::keys;
use subm_sync::{HubTrust, Object, Publication};
use subm_types::ClusterUid;

use crate::model::{Member, Side, clusterset, endpoint_name, go_cluster, go_endpoint, settle_all};

#[test]
fn a_second_cluster_with_our_id_is_reported_and_not_overwritten() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let mut twin = Member::new("east", 9);
    twin.own.uid = ClusterUid("another".to_owned());
    let before = hub.clone();
    let plan = twin.round(&mut hub);
    assert_eq!(plan.trust, HubTrust::Duplicate);
    assert_eq!(hub, before);
    let problem = plan.problems.iter().find(|problem| problem.reason == "DuplicateClusterID").unwrap();
    assert!(problem.to_string().contains("kube-system-of-east"), "{problem}");
    assert!(problem.remedy.contains("join this cluster with another id"));
    assert_eq!(twin.settle(&mut hub), ["DuplicateClusterID"]);
    assert_eq!(twin.copies(), [endpoint_name("west", 2)], "others are still followed");
    settle_all(&mut members, &mut hub);
    assert_eq!(members[1].copies(), [endpoint_name("east", 1)]);
    twin.own.publication = Publication::Withdraw;
    twin.settle(&mut hub);
    assert!(hub.clusters.contains_key("east"));
}

#[test]
fn networks_that_overlap_ours_are_refused() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    hub.put(go_cluster("evil", 1));
    hub.put(go_endpoint("evil", 1, 66));
    assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR"]);
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
    let plan = members[0].plan(&hub);
    assert_eq!(
        plan.problems[0].to_string(),
        "Cluster evil field spec.cluster_cidr: 10.1.0.0/16 overlaps 10.1.0.0/16 of this cluster; \
         change the networks of one of the two clusters, or use Globalnet in both"
    );
    hub.clusters.get_mut("evil").unwrap().spec.global_cidr = vec!["242.1.0.0/16".to_owned()];
    assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR", "OverlappingCIDR"], "of its Endpoint");
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
}

#[test]
fn networks_of_a_member_that_is_here_already_are_refused_to_a_newcomer() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    hub.put(go_cluster("evil", 2));
    hub.put(go_endpoint("evil", 2, 66));
    assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR"]);
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
    members[1].publish(2, 7, 2);
    settle_all(&mut members, &mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("west", 7)], "a takeover keeps the place");
}

#[test]
fn of_two_newcomers_with_the_same_networks_the_older_is_taken() {
    for (first, second) in [("alpha", "beta"), ("beta", "alpha")] {
        let (mut members, mut hub) = clusterset(&["east"]);
        for id in [first, second] {
            hub.put(go_cluster(id, 50));
            hub.put(go_endpoint(id, 50, 50));
        }
        assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR"]);
        assert_eq!(members[0].copies(), [endpoint_name(first, 50)]);
    }
}

#[test]
fn networks_that_a_member_gave_up_are_free_at_once() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    members[1].publish(3, 2, 2);
    members[1].settle(&mut hub);
    hub.put(go_cluster("abc", 2));
    hub.put(go_endpoint("abc", 2, 50));
    members[0].round(&mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("abc", 50), endpoint_name("west", 2)]);
    assert!(members[0].settle(&mut hub).is_empty());
}

#[test]
fn networks_outside_of_its_cluster_are_refused_and_the_earlier_copy_stays() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let good = members[0].home.endpoints[&endpoint_name("west", 2)].clone();
    let endpoint = hub.endpoints.get_mut(&endpoint_name("west", 2)).unwrap();
    endpoint.spec.subnets.push("192.0.2.0/24".to_owned());
    assert_eq!(members[0].settle(&mut hub), ["SubnetOutsideCluster"]);
    assert_eq!(members[0].home.endpoints[&endpoint_name("west", 2)], good);
    hub.endpoints.get_mut(&endpoint_name("west", 2)).unwrap().spec.subnets = vec!["10.2.0.0/99".to_owned()];
    assert_eq!(members[0].settle(&mut hub), ["InvalidCIDR"]);
    assert_eq!(members[0].home.endpoints[&endpoint_name("west", 2)], good);
}

#[test]
fn a_replacement_that_is_refused_leaves_the_earlier_copy() {
    let (mut members, mut hub) = clusterset(&["east"]);
    hub.put(go_cluster("go", 50));
    hub.put(go_endpoint("go", 50, 50));
    members[0].settle(&mut hub);
    hub.endpoints.remove(&endpoint_name("go", 50));
    hub.put(go_endpoint("go", 60, 51));
    assert_eq!(members[0].settle(&mut hub), ["SubnetOutsideCluster", "SubnetOutsideCluster"]);
    assert_eq!(members[0].copies(), [endpoint_name("go", 50)]);
}

#[test]
fn an_endpoint_waits_for_its_cluster() {
    let (mut members, mut hub) = clusterset(&["east"]);
    hub.put(go_endpoint("go", 50, 50));
    assert_eq!(members[0].settle(&mut hub), ["WaitingForCluster"]);
    assert!(members[0].copies().is_empty());
    hub.put(go_cluster("go", 50));
    assert!(members[0].settle(&mut hub).is_empty());
    assert_eq!(members[0].copies(), [endpoint_name("go", 50)]);
}

#[test]
fn label_and_cluster_id_must_agree() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let Object::Endpoint(mut endpoint) = go_endpoint("west", 2, 66) else { unreachable!() };
    endpoint.metadata.labels.as_mut().unwrap().insert(keys::CLUSTER_ID_LABEL.into(), "evil".into());
    hub.put(Object::Endpoint(endpoint));
    assert_eq!(members[0].settle(&mut hub), ["ForeignClusterID"]);
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
}

#[test]
fn objects_without_label_are_nobodys() {
    let (mut members, mut hub) = clusterset(&["east"]);
    let Object::Endpoint(mut endpoint) = go_endpoint("go", 50, 50) else { unreachable!() };
    endpoint.metadata.labels = None;
    hub.put(Object::Endpoint(endpoint));
    assert!(members[0].round(&mut hub).is_settled());
}

#[test]
fn an_object_cannot_take_the_place_of_our_own_at_home() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let own = members[0].home.endpoints[&endpoint_name("east", 1)].clone();
    hub.endpoints.remove(&endpoint_name("east", 1));
    hub.put(go_cluster("evil", 50));
    let Object::Endpoint(mut endpoint) = go_endpoint("evil", 50, 50) else { unreachable!() };
    endpoint.metadata.name = Some(endpoint_name("east", 1));
    hub.put(Object::Endpoint(endpoint));
    assert_eq!(members[0].settle(&mut hub), ["NameTaken", "NameTaken"]);
    assert_eq!(members[0].home.endpoints[&endpoint_name("east", 1)], own);
}

#[test]
fn an_endpoint_whose_uid_is_not_that_of_its_cluster_is_refused() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let meta = &mut hub.endpoints.get_mut(&endpoint_name("west", 2)).unwrap().metadata;
    meta.annotations.as_mut().unwrap().insert(keys::CLUSTER_UID.into(), "another".into());
    assert_eq!(members[0].settle(&mut hub), ["DuplicateClusterID"]);
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
}

#[test]
fn wrong_networks_of_our_own_are_not_published() {
    let mut hub = Side::default();
    let mut member = Member::new("east", 1);
    if let Publication::Publish(published) = &mut member.own.publication {
        published.cluster.service_cidr = vec!["10.101.0.0".to_owned()];
    }
    let plan = member.round(&mut hub);
    assert!(plan.is_settled());
    assert_eq!(
        (plan.problems[0].reason, plan.problems[0].field.as_str()),
        ("InvalidCIDR", "spec.service_cidr[0]")
    );
}

#[test]
fn copies_that_overlap_from_earlier_on_do_not_lock_each_other_out() {
    let (mut members, mut hub) = clusterset(&["east"]);
    hub.put(go_cluster("alpha", 50));
    hub.put(go_endpoint("alpha", 50, 50));
    members[0].settle(&mut hub);
    hub.put(go_cluster("beta", 50));
    hub.put(go_endpoint("beta", 50, 60));
    let Object::Endpoint(mut copy) = go_endpoint("beta", 50, 60) else { unreachable!() };
    copy.metadata.namespace = Some("submariner-operator".to_owned());
    members[0].home.put(Object::Endpoint(copy));
    assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR"]);
    hub.put(go_endpoint("alpha", 50, 51));
    hub.endpoints.remove(&endpoint_name("alpha", 50));
    assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR"]);
    assert_eq!(members[0].copies(), [endpoint_name("alpha", 51), endpoint_name("beta", 60)]);
}

#[test]
fn a_cluster_that_claims_what_is_anothers_or_ours_is_not_passed_on_to_our_nodes() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    for (networks, whose) in [("10.2.5.0/24", "cluster west"), ("10.1.9.0/24", "this cluster")] {
        let Object::Cluster(mut claim) = go_cluster("evil", 50) else { unreachable!() };
        claim.spec.cluster_cidr.push(networks.to_owned());
        hub.clusters.remove("evil");
        hub.put(Object::Cluster(claim));
        assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR"]);
        assert!(!members[0].home.clusters.contains_key("evil"));
        let problem = members[0].plan(&hub).problems.remove(0).to_string();
        assert!(problem.starts_with("Cluster evil field spec.cluster_cidr: "), "{problem}");
        assert!(problem.contains(whose), "{problem}");
    }
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
}

#[test]
fn a_cluster_without_an_endpoint_keeps_no_other_out() {
    let (mut members, mut hub) = clusterset(&["east"]);
    hub.put(go_cluster("evil", 50));
    members[0].settle(&mut hub);
    assert!(members[0].home.clusters.contains_key("evil"));
    hub.put(go_cluster("go", 50));
    hub.put(go_endpoint("go", 50, 50));
    assert_eq!(members[0].settle(&mut hub), ["OverlappingCIDR"]);
    assert_eq!(members[0].copies(), [endpoint_name("go", 50)]);
}

#[test]
fn with_globalnet_only_the_global_networks_count() {
    let (mut members, mut hub) = clusterset(&["east"]);
    for (id, global) in [("alpha", "242.1.0.0/16"), ("beta", "242.2.0.0/16")] {
        let Object::Cluster(mut cluster) = go_cluster(id, 1) else { unreachable!() };
        cluster.spec.global_cidr = vec![global.to_owned()];
        hub.put(Object::Cluster(cluster));
        let Object::Endpoint(mut endpoint) = go_endpoint(id, 1, 50) else { unreachable!() };
        endpoint.spec.subnets = vec![global.to_owned()];
        hub.put(Object::Endpoint(endpoint));
    }
    assert!(members[0].settle(&mut hub).is_empty());
    assert_eq!(members[0].copies(), [endpoint_name("alpha", 50), endpoint_name("beta", 50)]);
}

#[test]
fn an_endpoint_under_a_name_that_another_member_needs_is_refused() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    hub.put(go_cluster("evil", 50));
    let Object::Endpoint(mut endpoint) = go_endpoint("evil", 50, 50) else { unreachable!() };
    endpoint.metadata.name = Some(endpoint_name("west", 7));
    hub.put(Object::Endpoint(endpoint));
    assert_eq!(members[0].settle(&mut hub), ["UnexpectedName"]);
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
}
