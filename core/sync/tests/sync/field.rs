//! Field case F5: the hub is emptied, restored or restarted, and copies are deleted by somebody.

use subm_api::keys;
use subm_sync::HubTrust;

use crate::model::{Side, clusterset, endpoint_name, go_cluster, go_endpoint, settle_all};

#[test]
fn an_emptied_hub_is_filled_again_and_nobody_forgets_anybody() {
    let (mut members, _) = clusterset(&["east", "north", "west"]);
    let before: Vec<_> = members.iter().map(|member| member.copies().join(" ")).collect();
    let mut hub = Side::default();
    let plan = members[0].plan(&hub);
    assert_eq!(plan.trust, HubTrust::Lost);
    assert!(plan.problems.iter().any(|problem| problem.reason == "HubEmptiedOrRestored"));
    members[0].settle(&mut hub);
    assert_eq!(members[0].copies().join(" "), before[0], "alone on the hub it still knows the others");
    settle_all(&mut members, &mut hub);
    for (member, before) in members.iter().zip(before) {
        assert_eq!(member.copies().join(" "), before);
        assert!(member.plan(&hub).problems.is_empty());
    }
    assert_eq!((hub.clusters.len(), hub.endpoints.len()), (3, 3));
}

#[test]
fn marks_of_what_was_lost_vanish_when_the_origin_publishes_again() {
    let (mut members, _) = clusterset(&["east", "west"]);
    let mut hub = Side::default();
    let problems = members[0].settle(&mut hub);
    assert_eq!(problems, ["KeptAfterHubLoss", "KeptAfterHubLoss"]);
    let kept = |side: &Side| {
        let meta = &side.endpoints[&endpoint_name("west", 2)].metadata;
        meta.annotations.as_ref().unwrap().contains_key(keys::KEPT)
    };
    assert!(kept(&members[0].home));
    settle_all(&mut members, &mut hub);
    assert!(!kept(&members[0].home));
}

#[test]
fn a_hub_restored_from_before_a_member_joined_does_not_cost_it() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let backup = hub.clone();
    members.push(crate::model::Member::new("north", 3));
    settle_all(&mut members, &mut hub);
    hub = backup;
    assert_eq!(members[0].plan(&hub).trust, HubTrust::Lost);
    members[0].settle(&mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("north", 3), endpoint_name("west", 2)]);
    settle_all(&mut members, &mut hub);
    assert!(hub.clusters.contains_key("north"));
}

#[test]
fn a_hub_restored_from_before_a_takeover_does_not_bring_the_old_gateway_back() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let backup = hub.clone();
    members[1].publish(2, 7, 2);
    settle_all(&mut members, &mut hub);
    hub = backup;
    members[0].settle(&mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("west", 7)]);
    settle_all(&mut members, &mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("west", 7)]);
    assert!(!hub.endpoints.contains_key(&endpoint_name("west", 2)));
}

#[test]
fn a_restored_hub_does_not_bring_an_older_state_of_the_same_endpoint_back() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let backup = hub.clone();
    members[1].publish(2, 2, 2);
    if let subm_sync::Publication::Publish(published) = &mut members[1].own.publication {
        published.endpoints[0].spec.backend_config.insert("publicKey".into(), "new".into());
    }
    settle_all(&mut members, &mut hub);
    let new = members[0].home.endpoints[&endpoint_name("west", 2)].spec.clone();
    hub = backup;
    members[0].settle(&mut hub);
    assert_eq!(members[0].home.endpoints[&endpoint_name("west", 2)].spec, new);
    settle_all(&mut members, &mut hub);
    assert_eq!(hub.endpoints[&endpoint_name("west", 2)].spec, new);
    assert!(members[0].plan(&hub).problems.is_empty());
}

#[test]
fn a_go_member_survives_the_loss_of_the_hub_until_it_publishes_again() {
    let (mut members, mut hub) = clusterset(&["east"]);
    hub.put(go_cluster("go", 50));
    hub.put(go_endpoint("go", 50, 50));
    members[0].settle(&mut hub);
    hub = Side::default();
    assert_eq!(members[0].settle(&mut hub), ["KeptAfterHubLoss", "KeptAfterHubLoss"]);
    assert_eq!(members[0].copies(), [endpoint_name("go", 50)]);
    hub.put(go_cluster("go", 50));
    for _ in 0..100 {
        hub.put(go_endpoint("go", 50, 51));
        hub.endpoints.remove(&endpoint_name("go", 51));
    }
    hub.put(go_endpoint("go", 50, 51));
    assert!(members[0].settle(&mut hub).is_empty());
    assert_eq!(members[0].copies(), [endpoint_name("go", 51)]);
}

#[test]
fn copies_that_somebody_deleted_come_back() {
    let (mut members, mut hub) = clusterset(&["east", "north", "west"]);
    members[0].home = Side::default();
    members[0].settle(&mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("north", 2), endpoint_name("west", 3)]);
    assert_eq!(members[0].home.clusters.len(), 3);
    assert_eq!(members[0].plan(&hub).trust, HubTrust::Confirmed);
}

#[test]
fn our_own_objects_on_the_hub_come_back() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    hub.endpoints.remove(&endpoint_name("east", 1));
    assert_eq!(members[0].plan(&hub).trust, HubTrust::Confirmed);
    members[0].settle(&mut hub);
    assert!(hub.endpoints.contains_key(&endpoint_name("east", 1)));
    hub.clusters.remove("east");
    members[0].settle(&mut hub);
    assert!(hub.clusters.contains_key("east"));
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
}

#[test]
fn a_hub_that_lags_behind_our_writes_is_not_taken_for_a_restored_one() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let lagging = hub.clone();
    members[0].publish(1, 9, 2);
    let plan = members[0].round(&mut hub);
    assert!(!plan.hub.is_empty());
    assert_eq!(members[0].plan(&lagging).trust, HubTrust::Confirmed);
}

#[test]
fn hub_and_home_lost_together_still_cost_nothing() {
    let (mut members, _) = clusterset(&["east", "west"]);
    let mut hub = Side::default();
    members[0].home.clusters.remove("east");
    members[0].home.endpoints.remove(&endpoint_name("east", 1));
    members[0].settle(&mut hub);
    assert_eq!(members[0].copies(), [endpoint_name("west", 2)]);
}

#[test]
fn a_hub_that_went_back_to_an_equal_state_is_believed_again_after_we_wrote() {
    let (mut members, mut hub) = clusterset(&["east", "west"]);
    let backup = hub.clone();
    members[1].publish(2, 7, 2);
    settle_all(&mut members, &mut hub);
    hub = backup;
    members[0].home.endpoints.remove(&endpoint_name("west", 7));
    assert_eq!(members[0].plan(&hub).trust, HubTrust::Lost);
    members[0].settle(&mut hub);
    assert_eq!(members[0].plan(&hub).trust, HubTrust::Confirmed);
}
