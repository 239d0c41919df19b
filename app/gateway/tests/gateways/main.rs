//! Gateways as they run: against APIs over TLS, embedded ones or those of the fleet under which this runs, in network namespaces of their own, with real packets.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[expect(dead_code, reason = "shared with the tests of IPsec cables")]
mod ground;
mod kernel_wireguard;
mod matrix;
mod netem;

use std::time::{Duration, Instant};

use ground::{Ground, eventually};
use serde_json::{Value, json};
use subm_apiserver::Link;
use subm_types::Family;

const FOUR: &[Family] = &[Family::V4];
const SIX: &[Family] = &[Family::V6];
const BOTH: &[Family] = &Family::ALL;

fn condition(gateway: &Value, kind: &str) -> Option<String> {
    let conditions = gateway.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|one| one["type"] == kind)?;
    Some(format!(
        "{} {} {}",
        found["status"].as_str()?,
        found["reason"].as_str()?,
        found["message"].as_str()?
    ))
}

fn connection(gateway: &Value) -> Option<&str> {
    gateway.pointer("/status/connections/0/status")?.as_str()
}

fn epoch_of(endpoint: &Value) -> Option<&str> {
    endpoint.pointer("/metadata/annotations")?.get("submariner.io/epoch")?.as_str()
}

/// The remote address and status of every connection.
fn connections(gateway: &Value) -> Option<Vec<String>> {
    let all = gateway.pointer("/status/connections")?.as_array()?;
    let text = |one: &Value| Some(format!("{} {}", one["usingIP"].as_str()?, one["status"].as_str()?));
    all.iter().map(text).collect()
}

fn problems_of(gateway: &Value) -> Option<String> {
    condition(gateway, "EndpointsAccepted").filter(|said| said.starts_with("False"))
}

#[test]
fn clusters_of_ipv6_alone_find_each_other_and_packets_pass() {
    Ground::run(|ground| {
        let (east, west) = (ground.gateway_of("east", SIX), ground.gateway_of("west", SIX));
        eventually("packets pass", || east.ping_with(&west, Family::V6, 1000).ok());
        // What fills the cable's 1,430 bytes, and what does not fit into one packet.
        for bytes in [0, 1381, 1382, 1383, 1432, 1453, 4000] {
            east.ping_with(&west, Family::V6, bytes).unwrap();
        }
        eventually("the cable is measured", || {
            let all = connections(&ground.gateway_object("east", 1)?)?;
            (all == ["fd31::2:1 connected"]).then_some(())
        });
        let object = ground.gateway_object("east", 1).unwrap();
        let end = object.pointer("/status/localEndpoint").unwrap();
        assert_eq!(end["cable_name"], "submariner-cable-east-fd31--1-1");
        assert_eq!((&end["private_ip"], &end["privateIPs"][0]), (&"".into(), &"fd31::1:1".into()));
        assert_eq!(end["healthCheckIPs"][0], "fd10:1:0:1::1");
        assert!(!east.kernel().contains("vxlan-tunnel vxlan"), "{}", east.kernel());
    });
}

#[test]
fn clusters_of_both_families_have_a_connection_of_each_and_one_may_fail_alone() {
    Ground::run(|ground| {
        let (east, west) = (ground.gateway_of("east", BOTH), ground.gateway_of("west", BOTH));
        for family in Family::ALL {
            eventually("packets pass", || east.ping_with(&west, family, 1000).ok());
        }
        let are = |wanted: [&str; 2]| {
            eventually(&format!("{wanted:?}"), || {
                (connections(&ground.gateway_object("east", 1)?)? == wanted).then_some(())
            });
        };
        are(["172.31.0.21 connected", "fd31::2:1 connected"]);
        let object = ground.gateway_object("east", 1).unwrap();
        let end = object.pointer("/status/localEndpoint").unwrap();
        assert_eq!(end["cable_name"], "submariner-cable-east-172-31-0-11");
        assert_eq!(end["private_ip"], "172.31.0.11");
        assert_eq!(end["privateIPs"], serde_json::json!(["172.31.0.11", "fd31::1:1"]));
        assert_eq!(end["subnets"], serde_json::json!(["10.1.0.0/16", "fd10:1::/48"]));
        west.lose_uplink6();
        are(["172.31.0.21 connected", "fd31::2:1 error"]);
        east.ping(&west).unwrap();
    });
}

#[test]
fn clusters_of_different_families_use_what_they_share_and_say_the_rest() {
    Ground::run(|ground| {
        let (east, west) = (ground.gateway_of("east", BOTH), ground.gateway_of("west", FOUR));
        eventually("packets pass", || east.ping(&west).ok());
        let said = eventually("the rest is told", || problems_of(&ground.gateway_object("east", 1)?));
        assert!(said.contains("UncarriedFamily") && said.contains("fd10:1::/48"), "{said}");
        let said = eventually("it is told there too", || problems_of(&ground.gateway_object("west", 1)?));
        assert!(said.contains("UncarriedFamily") && said.contains("fd10:1::/48"), "{said}");
    });
}

#[test]
fn clusters_without_a_common_family_are_told_so() {
    Ground::run(|ground| {
        let _gateways = [ground.gateway_of("east", SIX), ground.gateway_of("west", FOUR)];
        let said = eventually("it is told", || problems_of(&ground.gateway_object("east", 1)?));
        assert!(said.contains("NoCommonFamily") && said.contains("10.2.0.0/16"), "{said}");
        assert_eq!(connections(&ground.gateway_object("east", 1).unwrap()).unwrap(), [""; 0]);
    });
}

#[test]
fn two_clusters_find_each_other_and_packets_pass() {
    Ground::run(|ground| {
        let east = ground.gateway("east", 1);
        let west = ground.gateway("west", 1);
        eventually("packets pass", || east.ping(&west).ok());
        eventually("packets come back", || west.ping(&east).ok());
        eventually("the cable is measured", || {
            (connection(&ground.gateway_object("east", 1)?)? == "connected").then_some(())
        });
        let object = ground.gateway_object("east", 1).unwrap();
        assert_eq!(object.pointer("/status/haStatus").unwrap(), "active");
        assert_eq!(object.pointer("/status/statusFailure").unwrap(), "");
        let rtt = object.pointer("/status/connections/0/latencyRTT/last").and_then(Value::as_str);
        assert!(rtt.is_some_and(|rtt| rtt.ends_with('s')), "{rtt:?}");
        for kind in
            ["HubConnected", "HubAuthorized", "ClusterIDUnique", "EndpointsAccepted", "DataPathProgrammed"]
        {
            let said = eventually(kind, || {
                condition(&ground.gateway_object("east", 1)?, kind).filter(|said| said.starts_with("True"))
            });
            assert!(said.starts_with("True"), "{kind}: {said}");
        }
    });
}

#[test]
fn peers_may_listen_on_different_ports() {
    Ground::run(|ground| {
        let east = ground.gateway_on_port("east", 4501);
        let west = ground.gateway_on_port("west", 4502);
        eventually("packets pass", || east.ping(&west).ok());
        assert!(east.kernel().contains("dstport 4501") && east.kernel().contains("port 4502"));
    });
}

#[test]
fn an_endpoint_on_the_hub_is_in_the_kernel_at_once() {
    Ground::run(|ground| {
        let east = ground.gateway("east", 1);
        eventually("the cable's end is there", || east.kernel().contains("vxlan-tunnel").then_some(()));
        let mut waits = Vec::new();
        for number in 1..=10_u8 {
            std::thread::sleep(Duration::from_millis(100));
            let subnet = format!("10.{}.0.0/16", 100 + number);
            let begin = Instant::now();
            ground.announce(&format!("north-{number}"), 100 + number, &subnet);
            eventually("the route is there", || east.kernel().contains(&subnet).then_some(()));
            waits.push(begin.elapsed());
        }
        waits.sort();
        println!("from hub to kernel: {waits:?}");
        // Each look at the kernel has its price, so this says no more than that nothing waits for a timer.
        assert!(waits[5] < Duration::from_millis(200), "{waits:?}");
    });
}

#[test]
fn a_restart_and_the_loss_of_both_apis_change_nothing_in_the_kernel() {
    Ground::run(|ground| {
        let mut east = ground.gateway("east", 1);
        let west = ground.gateway("west", 1);
        eventually("packets pass", || east.ping(&west).ok());
        let before = east.kernel();
        ground.hub.faults().set_link(Link::Refused);
        ground.home("east").faults().set_link(Link::Refused);
        east.stop();
        assert_eq!(east.kernel(), before);
        east.start();
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(east.kernel(), before);
        east.ping(&west).unwrap();
        ground.home("east").faults().set_link(Link::Up);
        let said = eventually("the loss of the hub is told", || {
            condition(&ground.gateway_object("east", 1)?, "HubConnected")
                .filter(|said| said.starts_with("False"))
        });
        assert!(said.contains("Unreachable") && said.contains("check the address"), "{said}");
        assert_eq!(east.kernel(), before);
        ground.hub.faults().set_link(Link::Up);
        eventually("the return of the hub is told", || {
            condition(&ground.gateway_object("east", 1)?, "HubConnected")
                .filter(|said| said.starts_with("True"))
        });
        let endpoint = ground.endpoint_on_hub("east", 1).unwrap();
        assert_eq!(epoch_of(&endpoint), Some("1"));
        east.ping(&west).unwrap();
    });
}

#[test]
fn a_gateway_behind_a_port_forward_is_found_by_its_public_address() {
    Ground::run(|ground| {
        let east = ground.gateway_behind_a_port_forward("east");
        let west = ground.gateway("west", 1);
        let seen_by = |cluster| {
            let object = ground.gateway_object(cluster, 1)?;
            let connection = object.pointer("/status/connections/0")?;
            let text = |field: &str| connection.get(field).cloned().unwrap_or_default();
            Some((text("usingIP"), text("usingNAT"), text("status")))
        };
        // Its Endpoint names a private address that leads nowhere, and does not speak of a NAT.
        let found = (json!("172.31.0.11"), json!(true), json!("connected"));
        eventually("west uses the public address", || seen_by("west").filter(|seen| *seen == found));
        let found = (json!("172.31.0.21"), json!(true), json!("connected"));
        eventually("east hears of the NAT", || seen_by("east").filter(|seen| *seen == found));
        eventually("packets pass", || west.ping(&east).ok());
        assert_eq!(
            ground.endpoint_on_hub("west", 1).unwrap().pointer("/spec/backend_config/natt-discovery-port"),
            Some(&json!("4490"))
        );
    });
}

#[test]
fn another_gateway_takes_over_and_the_first_one_hands_its_cables_over() {
    Ground::run(|ground| {
        let mut first = ground.gateway("east", 1);
        let west = ground.gateway("west", 1);
        eventually("packets pass", || west.ping(&first).ok());
        let second = ground.gateway("east", 2);
        eventually("the second one waits", || {
            let object = ground.gateway_object("east", 2)?;
            (object.pointer("/status/haStatus")? == "passive").then_some(())
        });
        assert!(second.ping(&west).is_err(), "a passive gateway has no cables");
        first.stop();
        assert!(first.kernel().contains("vxlan-tunnel"), "what a gateway made stays when it ends");
        eventually("packets pass the second one", || west.ping(&second).ok());
        let endpoint = ground.endpoint_on_hub("east", 2).unwrap();
        assert_eq!(epoch_of(&endpoint), Some("2"));
        eventually("the older Endpoint goes", || ground.endpoint_on_hub("east", 1).is_none().then_some(()));
        first.start();
        eventually("the first one gives way", || (!first.kernel().contains("vxlan-tunnel")).then_some(()));
        assert!(second.kernel().contains("vxlan-tunnel"));
        second.ping(&west).unwrap();
        eventually("the first one is passive", || {
            let object = ground.gateway_object("east", 1)?;
            (object.pointer("/status/haStatus")? == "passive").then_some(())
        });
    });
}

#[test]
fn a_silent_path_is_told_and_so_is_its_return() {
    Ground::run(|ground| {
        let east = ground.gateway("east", 1);
        let west = ground.gateway("west", 1);
        let status = || Some(connection(&ground.gateway_object("east", 1)?)?.to_owned());
        eventually("connected", || status().filter(|status| status == "connected"));
        west.set_uplink("down");
        eventually("an error", || status().filter(|status| status == "error"));
        west.set_uplink("up");
        eventually("connected again", || status().filter(|status| status == "connected"));
        east.ping(&west).unwrap();
    });
}

#[test]
fn a_second_cluster_of_one_id_is_refused_and_the_first_one_works_on() {
    Ground::run(|ground| {
        let east = ground.gateway("east", 1);
        let west = ground.gateway("west", 1);
        eventually("packets pass", || east.ping(&west).ok());
        let double = ground.impostor("west");
        let said = eventually("the double is told", || {
            let object = ground.impostor_object("west")?;
            condition(&object, "ClusterIDUnique").filter(|said| said.starts_with("False"))
        });
        assert!(said.contains("DuplicateClusterID") && said.contains("join"), "{said}");
        east.ping(&west).unwrap();
        drop(double);
    });
}

#[test]
fn a_hub_with_another_certificate_or_that_forbids_is_told_and_the_process_stays() {
    Ground::run(|ground| {
        let stranger = ground.gateway_that_distrusts("east");
        let said = eventually("the certificate is told", || {
            condition(&ground.gateway_object("east", 1)?, "HubConnected")
                .filter(|said| said.starts_with("False"))
        });
        assert!(said.contains("UntrustedCertificate"), "{said}");
        assert!(stranger.is_running());
        let lost = ground.gateway_without_rights("west");
        let said = eventually("the refusal is told", || {
            condition(&ground.gateway_object("west", 1)?, "HubAuthorized")
                .filter(|said| said.starts_with("False"))
        });
        assert!(said.contains("403") || said.contains("401"), "{said}");
        assert!(lost.is_running());
    });
}

#[test]
fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    Ground::run(|ground| {
        ground.copy_to("east", "north", 101, "10.101.0.0/16");
        let east = ground.gateway_that_only_looks("east", 32780);
        let said = eventually("the steps are told", || {
            east.page("/debug/steps").filter(|said| said.contains("10.101.0.0/16"))
        });
        assert!(said.contains("ip link add vxlan-tunnel") && said.contains("0 steps taken"), "{said}");
        assert!(east.page("/debug/plan").unwrap().contains("route 10.101.0.0/16"));
        assert_eq!(east.kernel(), "");
        assert_eq!(ground.written_at_home("east"), [Value::Null; 0]);
        assert_eq!(ground.endpoint_on_hub("east", 1), None);
    });
}

#[test]
fn what_is_at_home_stands_while_nobody_can_say_where_the_hub_is() {
    Ground::run(|ground| {
        ground.copy_to("east", "north", 101, "10.101.0.0/16");
        let east = ground.gateway_without_hub("east");
        eventually("the cable is there", || east.kernel().contains("10.101.0.0/16").then_some(()));
        let said = eventually("the setting is told", || {
            condition(&ground.gateway_object("east", 1)?, "HubConnected")
                .filter(|said| said.starts_with("False"))
        });
        assert!(said.contains("InvalidAccess"), "{said}");
    });
}
