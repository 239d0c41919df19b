//! What is published of our public address, and what is said of it.

use subm_api::endpoint::AddressField;
use subm_probe::public_address::{Heard, Resolver, Told};
use subm_runtime::View as _;
use subm_sync::Publication;

use super::*;
use crate::view::View;
use crate::view::tests::{active, endpoint, home, west};

fn view(list: &str) -> View {
    let mut view = active(vec![west()]);
    view.config.public_ip = list.to_owned();
    view
}

/// What the Endpoint says, and how it stands.
fn says(view: &View) -> (String, String) {
    let Publication::Publish(published) = view.outcome().publication else { panic!("nothing is published") };
    let spec = &published.endpoints[0].spec;
    let address = spec.address(AddressField::Public, Family::V4).unwrap_or_default().to_owned();
    let finding = view.public_address_finding().unwrap();
    (address, format!("{} {}", finding.holds.as_str(), finding.reason))
}

fn hear(view: &mut View, url: &str, heard: Heard) {
    let resolver = Resolver::Api(format!("https://{url}"));
    view.apply(Input::PublicAddress(resolver, Told::Heard(heard)));
}

fn seen_as(address: &str) -> Heard {
    Heard { found: PerFamily::of([address.parse().unwrap()]), failure: None }
}

fn pair(address: &str, finding: &str) -> (String, String) {
    (address.to_owned(), finding.to_owned())
}

#[test]
fn the_preferred_answer_is_published_and_those_who_fail_are_named() {
    let mut view = view("api:a.example,api:b.example");
    assert_eq!(says(&view), pair("", "Unknown Asking"));
    hear(&mut view, "b.example", seen_as("203.0.113.2"));
    assert_eq!(says(&view), pair("", "Unknown Asking"));
    hear(&mut view, "a.example", seen_as("203.0.113.1"));
    assert_eq!(says(&view), pair("203.0.113.1", "True Resolved"));
    hear(&mut view, "a.example", Heard::failed("it says 10.0.0.1, which is a private address"));
    assert_eq!(says(&view), pair("203.0.113.2", "True SomeFail"));
    let finding = view.public_address_finding().unwrap();
    assert!(finding.message.contains("api:a.example: it says 10.0.0.1"), "{}", finding.message);
}

#[test]
fn what_was_published_stands_while_nobody_tells_it_also_after_a_restart() {
    let mut view = view("api:a.example");
    let mut own = endpoint("east", "gw-1", "172.18.0.2", 1);
    own.spec.set_address(AddressField::Public, "203.0.113.9".parse().unwrap());
    view.home = Some(home(vec![west(), own]));
    assert_eq!(says(&view), pair("203.0.113.9", "Unknown Asking"));
    hear(&mut view, "a.example", Heard::failed("no answer within 10 s"));
    assert_eq!(says(&view), pair("203.0.113.9", "False LastStands"));
    assert!(!view.outcome().problems.iter().any(|one| one.reason == "UnresolvedPublicIP"));
    // Another gateway's address is not ours.
    let mut other = endpoint("east", "gw-2", "172.18.0.9", 1);
    other.spec.set_address(AddressField::Public, "203.0.113.9".parse().unwrap());
    view.home = Some(home(vec![west(), other]));
    assert_eq!(says(&view), pair("", "False Unresolved"));
    assert!(view.outcome().problems.iter().any(|one| one.reason == "UnresolvedPublicIP"));
}

#[test]
fn an_annotation_is_stronger_and_air_gapped_gateways_ask_nobody() {
    let mut view = view("api:a.example,ipv4:203.0.113.9");
    view.config.air_gapped = true;
    assert_eq!(says(&view), pair("203.0.113.9", "True Resolved"));
    view.config.public_ip = String::new();
    assert_eq!(says(&view), pair("", "True NotAsked"));
    assert_eq!(view.resolvers().resolvers, []);
    view.config.air_gapped = false;
    assert_eq!(view.resolvers().resolvers.len(), 4, "public services, where nobody says whom to ask");
    if let Some(node) = &mut view.node {
        node.public_ip = Some("lb:submariner-gateway".to_owned());
    }
    assert_eq!(view.resolvers().resolvers, [Resolver::LoadBalancer("submariner-gateway".to_owned())]);
}

#[test]
fn behind_a_load_balancer_peers_are_told_so_whoever_says_it() {
    for by_node in [false, true] {
        let mut view = view("");
        let list = "lb:submariner-gateway".to_owned();
        match &mut view.node {
            Some(node) if by_node => node.public_ip = Some(list),
            _ => view.config.public_ip = list,
        }
        let balancer = Resolver::LoadBalancer("submariner-gateway".to_owned());
        view.apply(Input::PublicAddress(balancer, Told::Heard(seen_as("198.51.100.7"))));
        let spec = view.outcome().own_end.unwrap();
        assert!(spec.behind_load_balancer());
        assert_eq!(spec.public_ip, "198.51.100.7");
    }
}

#[tokio::test]
async fn a_service_tells_what_its_load_balancer_got() {
    let service = |ingress: serde_json::Value| {
        serde_json::from_value::<Service>(
            serde_json::json!({"status": {"loadBalancer": {"ingress": ingress}}}),
        )
        .unwrap()
    };
    let two = ingress(&service(serde_json::json!([{"ip": "198.51.100.7"}, {"ip": "2001:db8::7"}]))).await;
    assert_eq!(two.found.iter().count(), 2);
    let none = ingress(&service(serde_json::json!([]))).await;
    assert!(none.failure.unwrap().contains("ingress is empty"));
    let wrong = ingress(&service(serde_json::json!([{"ip": "0.0.0.0"}]))).await;
    assert!(wrong.failure.unwrap().contains("no address that can be used"));
    let name = ingress(&service(serde_json::json!([{"hostname": "nobody.invalid"}]))).await;
    assert!(name.failure.unwrap().contains("cannot be resolved"));
}
