//! What is published, taken over, replaced and withdrawn.

use subm_api::keys;
use subm_sync::{Completeness, HubTrust, Publication, Snapshot, latest_takeover, plan};
use subm_types::Epoch;

use crate::model::{Member, Side, clusterset, endpoint_name, go_cluster, go_endpoint, settle_all};

#[test]
fn members_learn_each_other() {
    let (members, hub) = clusterset(&["east", "north", "west"]);
    assert_eq!((hub.clusters.len(), hub.endpoints.len()), (3, 3));
    for member in &members {
        assert_eq!((member.home.clusters.len(), member.home.endpoints.len()), (3, 3));
        assert_eq!(member.copies().len(), 2);
        assert_eq!(member.plan(&hub).trust, HubTrust::Confirmed);
    }
}

#[test]
fn hub_objects_carry_label_uid_epoch_and_nothing_private() {
    let (_, hub) = clusterset(&["east", "west"]);
    let east = &hub.endpoints[&endpoint_name("east", 1)].metadata;
    assert_eq!(east.labels.as_ref().unwrap()[keys::CLUSTER_ID_LABEL], "east");
    let annotations = east.annotations.as_ref().unwrap();
    assert_eq!(annotations[keys::CLUSTER_UID], "kube-system-of-east");
    assert_eq!(annotations[keys::EPOCH], "1");
    assert_eq!(annotations.len(), 2);
    assert_eq!(east.namespace.as_deref(), Some("submariner-k8s-broker"));
}

#[test]
fn copies_keep_label_uid_and_epoch_but_not_the_counter() {
    let (members, _) = clusterset(&["east", "west"]);
    let west = &members[0].home.clusters["west"].metadata;
    assert_eq!(west.labels.as_ref().unwrap()[keys::CLUSTER_ID_LABEL], "west");
    let names: Vec<_> = west.annotations.as_ref().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, [keys::CLUSTER_UID]);
    let endpoint = &members[0].home.endpoints[&endpoint_name("west", 2)].metadata;
    assert_eq!(endpoint.annotations.as_ref().unwrap()[keys::EPOCH], "1");
    assert_eq!(endpoint.namespace.as_deref(), Some("submariner-operator"));
}

#[test]
fn own_objects_at_home_have_no_label() {
    let (members, _) = clusterset(&["east", "west"]);
    assert_eq!(members[0].home.clusters["east"].metadata.labels, None);
    assert_eq!(members[0].home.endpoints[&endpoint_name("east", 1)].metadata.labels, None);
}

#[test]
fn nothing_is_decided_before_home_is_known() {
    let (members, hub) = clusterset(&["east", "west"]);
    let home = Snapshot { completeness: Completeness::Partial, ..members[0].home.snapshot() };
    assert!(plan(&hub.snapshot(), &home, &members[0].own).is_settled());
    assert!(plan(&Side::default().snapshot(), &home, &members[0].own).is_settled());
}

#[test]
fn a_hub_that_was_not_listed_yet_changes_nothing_but_our_own_objects_at_home() {
    let (mut members, _) = clusterset(&["east", "west"]);
    let partial = Snapshot::default();
    let east = &mut members[0];
    assert!(plan(&partial, &east.home.snapshot(), &east.own).is_settled());
    east.publish(1, 9, 2);
    let decided = plan(&partial, &east.home.snapshot(), &east.own);
    assert_eq!((decided.trust, decided.hub.len(), decided.marks.len()), (HubTrust::Partial, 0, 0));
    east.home.apply(&decided.home);
    assert!(east.home.endpoints.contains_key(&endpoint_name("east", 9)));
    assert!(!east.home.endpoints.contains_key(&endpoint_name("east", 1)));
    assert_eq!(east.copies(), [endpoint_name("west", 2)]);
}

#[test]
fn a_takeover_replaces_the_endpoint_everywhere_and_adds_before_it_deletes() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    members[1].publish(2, 7, 2);
    let plan = members[1].round(&mut hub);
    let kinds: Vec<_> =
        plan.hub.iter().map(|change| matches!(change, subm_sync::Change::Delete(_))).collect();
    assert!(kinds.is_sorted() && kinds.contains(&true), "{:?}", plan.hub);
    settle_all(&mut members, &mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("west", 7)]);
    assert_eq!(hub.endpoints.len(), 2);
}

#[test]
fn of_two_endpoints_of_a_member_the_higher_epoch_is_followed_and_the_older_stays_away() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let old = hub.endpoints[&endpoint_name("west", 2)].clone();
    members[1].publish(2, 7, 2);
    settle_all(&mut members, &mut hub);
    let mut stale = old;
    stale.metadata.resource_version = None;
    hub.put(subm_sync::Object::Endpoint(stale));
    assert!(members[0].settle(&mut hub).is_empty());
    assert_eq!(members[0].copies(), [endpoint_name("west", 7)]);
    settle_all(&mut members, &mut hub);
    assert_eq!(hub.endpoints.len(), 2, "its owner removes the stale one");
}

#[test]
fn of_two_endpoints_without_epochs_the_newer_is_followed() {
    let (mut members, mut hub) = clusterset(&["east"]);
    hub.put(go_cluster("go", 50));
    hub.put(go_endpoint("go", 50, 51));
    hub.put(go_endpoint("go", 50, 50));
    assert!(members[0].settle(&mut hub).is_empty());
    assert_eq!(members[0].copies(), [endpoint_name("go", 50)]);
    hub.put(go_endpoint("go", 50, 49));
    members[0].settle(&mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("go", 49)]);
}

#[test]
fn a_deposed_gateway_neither_overwrites_nor_deletes() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let mut deposed = members[0].clone();
    members[0].publish(1, 9, 2);
    settle_all(&mut members, &mut hub);
    deposed.home = members[0].home.clone();
    let before = hub.clone();
    let plan = deposed.round(&mut hub);
    assert!(plan.is_settled());
    assert_eq!(hub, before);
    assert_eq!(plan.problems[0].reason, "SupersededGateway");
    let latest = latest_takeover(&hub.snapshot(), &deposed.home.snapshot(), &deposed.own);
    assert_eq!(latest.map(|latest| latest.epoch), Some(Epoch(2)));
}

#[test]
fn a_member_that_leaves_is_forgotten() {
    let (mut members, mut hub) = clusterset(&["east", "north", "west"]);
    members[2].own.publication = Publication::Withdraw;
    members[2].settle(&mut hub);
    assert!(members[2].home.clusters.is_empty() && members[2].home.endpoints.is_empty());
    assert!(!hub.clusters.contains_key("west"));
    assert!(members[0].settle(&mut hub).is_empty());
    assert_eq!(members[0].copies(), [endpoint_name("north", 2)]);
    assert!(!members[0].home.clusters.contains_key("west"));
}

#[test]
fn all_others_may_leave_at_once_while_the_hub_still_has_us() {
    let (mut members, mut hub) = clusterset(&["east", "north", "west"]);
    for member in &mut members[1..] {
        member.own.publication = Publication::Withdraw;
        member.settle(&mut hub);
    }
    members[0].settle(&mut hub);
    assert!(members[0].copies().is_empty());
}

#[test]
fn holding_publishes_and_withdraws_nothing_but_follows_others() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let own = (hub.clusters["east"].clone(), hub.endpoints[&endpoint_name("east", 1)].clone());
    members[0].own.publication = Publication::Hold;
    members[1].publish(2, 8, 2);
    members[1].settle(&mut hub);
    members[0].settle(&mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("west", 8)]);
    assert_eq!(own, (hub.clusters["east"].clone(), hub.endpoints[&endpoint_name("east", 1)].clone()));
}

#[test]
fn a_publication_without_endpoints_leaves_the_earlier_ones() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    if let Publication::Publish(published) = &mut members[0].own.publication {
        published.endpoints.clear();
    }
    members[0].settle(&mut hub);
    assert!(hub.endpoints.contains_key(&endpoint_name("east", 1)));
    assert!(members[0].home.endpoints.contains_key(&endpoint_name("east", 1)));
}

#[test]
fn foreign_labels_and_annotations_stay_and_cause_no_writes() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    for meta in [
        &mut hub.clusters.get_mut("east").unwrap().metadata,
        &mut members[0].home.clusters.get_mut("west").unwrap().metadata,
    ] {
        meta.labels.get_or_insert_default().insert("backup.example/included".into(), "yes".into());
        meta.annotations.get_or_insert_default().insert("note".into(), "by hand".into());
    }
    assert!(members[0].round(&mut hub).is_settled());
    hub.clusters.get_mut("east").unwrap().spec.cluster_cidr.clear();
    members[0].settle(&mut hub);
    assert_eq!(hub.clusters["east"].spec.cluster_cidr, ["10.1.0.0/16"]);
    assert_eq!(hub.clusters["east"].metadata.annotations.as_ref().unwrap()["note"], "by hand");
}

#[test]
fn a_hub_that_drops_the_address_lists_is_not_written_again_and_again() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    if let Publication::Publish(published) = &mut members[0].own.publication {
        published.endpoints[0].spec.private_ips = vec!["10.0.0.1".into()];
        published.endpoints[0].epoch = Epoch(2);
    }
    members[0].settle(&mut hub);
    let endpoint = hub.endpoints.get_mut(&endpoint_name("east", 1)).unwrap();
    assert_eq!(endpoint.spec.private_ips, ["10.0.0.1"]);
    endpoint.spec.private_ips.clear();
    assert!(members[0].round(&mut hub).is_settled());
}

#[test]
fn a_go_installation_is_taken_over_without_a_gap() {
    let mut hub = Side::default();
    let mut member = Member::new("east", 1);
    hub.put(go_cluster("east", 1));
    hub.put(go_endpoint("east", 1, 1));
    hub.put(go_cluster("go", 50));
    hub.put(go_endpoint("go", 50, 50));
    let first = member.round(&mut hub);
    assert_eq!((first.trust, first.problems.len()), (HubTrust::Confirmed, 0));
    assert!(hub.endpoints.contains_key(&endpoint_name("east", 1)));
    assert!(member.settle(&mut hub).is_empty());
    assert_eq!(member.copies(), [endpoint_name("go", 50)]);
}
