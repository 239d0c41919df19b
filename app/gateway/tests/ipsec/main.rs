//! IPsec cables as they run: gateways in network namespaces of their own, libreswan's daemon, ESP of the kernel.
//!
//! They need libreswan's programs and a kernel with ESP.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod daemon;
#[path = "../gateways/ground.rs"]
#[expect(dead_code, reason = "shared with the other cables' tests")]
mod ground;

use std::fmt::Write as _;
use std::time::Instant;

use daemon::{kill, process, whack};
use ground::{Gateway, Ground, eventually};
use serde_json::{Value, json};
use subm_lab::Suspect;
use subm_types::{Backend, Family};
use submariner_gateway::Config;
use submariner_gateway::settings::Psk;

const SECRET: &str = "c2VjcmV0IG9mIGFsbCBjbHVzdGVycywgbG9uZyBlbm91Z2g=";

/// Services of a cluster, so that there are two subnets on each side.
fn services(config: &mut Config) {
    let second = if config.cluster.as_str() == "east" { 1 } else { 2 };
    config.service_cidrs = vec![format!("100.{second}.0.0/16").parse().unwrap()];
}

fn ipsec(config: &mut Config) {
    config.driver = Backend::Libreswan;
    config.psk = Psk::Text(SECRET.to_owned().into());
}

/// The status and message of each connection.
fn connections(gateway: &Value) -> Option<Vec<String>> {
    let all = gateway.pointer("/status/connections")?.as_array()?;
    let text = |one: &Value| {
        Some(format!("{} {}", one["status"].as_str()?, one["statusMessage"].as_str()?).trim().to_owned())
    };
    all.iter().map(text).collect()
}

fn connected(ground: &Ground, cluster: &str, count: usize) {
    eventually(&format!("{cluster} is connected"), || {
        let all = connections(&ground.gateway_object(cluster, 1)?)?;
        (all.len() == count && all.iter().all(|one| one == "connected")).then_some(())
    });
}

fn status(gateway: &Gateway) -> String {
    whack(gateway.host(), gateway.ipsec_directory(), &["--status"])
}

/// What the daemons and the objects say, for whoever looks for the reason of a failure.
fn explain(ground: &Ground, gateways: &[&Gateway]) -> String {
    let mut out = String::new();
    for (gateway, cluster) in gateways.iter().zip(["east", "west"]) {
        let log = std::fs::read_to_string(gateway.ipsec_directory().join("pluto.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        writeln!(out, "{cluster}: {:?}", ground.gateway_object(cluster, 1)).unwrap();
        writeln!(out, "{}\n{}\n{}", gateway.kernel(), status(gateway), tail.join("\n")).unwrap();
    }
    out
}

/// Asks until there is an answer, and says what is known where there is none.
fn sure<T>((ground, gateways): (&Ground, &[&Gateway]), what: &str, ask: impl FnMut() -> Option<T>) -> T {
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually(what, ask)));
    asked.unwrap_or_else(|_| panic!("{}", explain(ground, gateways)))
}

/// Whether ESP of a gateway is wrapped in UDP.
fn is_wrapped(gateway: &Gateway) -> bool {
    let log = std::fs::read_to_string(gateway.ipsec_directory().join("pluto.log")).unwrap();
    log.contains("ESPinUDP=>")
}

fn end(gateways: &[&Gateway]) {
    for gateway in gateways {
        whack(gateway.host(), gateway.ipsec_directory(), &["--shutdown"]);
    }
}

#[test]
fn all_pairs_of_subnets_of_both_families_are_encrypted_as_the_go_implementation_does() {
    Ground::run(|ground| {
        let both = |config: &mut Config| {
            ipsec(config);
            services(config);
        };
        let suspects = [("10.1.0.0/16", "10.2.0.0/16"), ("fd10:1::/48", "fd10:2::/48")];
        let suspect = |(src, dst): (&str, &str)| Suspect {
            src: Some(src.parse().unwrap()),
            dst: Some(dst.parse().unwrap()),
        };
        let watch = ground.watch_for(&suspects.map(suspect));
        let east = ground.dual_gateway_with("east", both);
        let west = ground.dual_gateway_with("west", both);
        let begin = Instant::now();
        for family in Family::ALL {
            eventually(&format!("packets of {family} pass"), || east.ping_with(&west, family, 1000).ok());
        }
        connected(ground, "east", 2);
        connected(ground, "west", 2);
        println!("all pairs of both families after {:?}", begin.elapsed());
        for bytes in [0, 1300, 1387, 1388, 4000] {
            east.ping_with(&west, Family::V4, bytes).unwrap();
            east.ping_with(&west, Family::V6, bytes.min(1300)).unwrap();
        }
        let said = status(&east);
        // Four pairs of IPv4 and one of IPv6, for services have IPv4 alone here.
        assert!(said.contains("loaded 5, active 5"), "{said}");
        for parameter in [
            "IKEv2 algorithm newest: AES_GCM_16_256-HMAC_SHA2_512",
            "ESP algorithm newest: AES_GCM_16_256-NONE",
            "ike_life: 28800s; ipsec_life: 28800s",
            "policy: IKEv2+PSK+ENCRYPT+TUNNEL",
            "dpdaction:hold; dpddelay:30s",
            "our id=172.31.0.11; their idtype: ID_IPV4_ADDR; their id=172.31.0.21",
            "172.31.0.11:4500",
        ] {
            assert!(said.contains(parameter), "{parameter} in {said}");
        }
        let seen = watch.stop().unwrap();
        assert!(seen.is_empty(), "{seen:?}");
        end(&[&east, &west]);
    });
}

#[test]
fn tunnels_outlive_the_gateway_and_a_daemon_that_dies_is_replaced() {
    Ground::run(|ground| {
        let mut east = ground.gateway_with("east", &json!({}), ipsec);
        let west = ground.gateway_with("west", &json!({}), ipsec);
        sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
        connected(ground, "east", 1);
        let daemon = process(east.ipsec_directory()).unwrap();
        let before = status(&east);
        east.stop();
        for _ in 0..20 {
            east.ping(&west).unwrap();
        }
        east.start();
        connected(ground, "east", 1);
        assert_eq!(process(east.ipsec_directory()), Some(daemon));
        let associations = |text: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.contains(" esp."));
            lines.map(|line| line.split(" Traffic").next().unwrap().to_owned()).collect()
        };
        assert_eq!(associations(&status(&east)), associations(&before), "nothing was set up again");
        let begin = Instant::now();
        kill(east.ipsec_directory());
        eventually("there is another daemon", || {
            process(east.ipsec_directory()).filter(|now| *now != daemon)
        });
        eventually("it has the connection", || status(&east).contains("loaded 1, active 1").then_some(()));
        sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
        println!("a daemon that died was replaced, and its pair up, after {:?}", begin.elapsed());
        connected(ground, "east", 1);
        connected(ground, "west", 1);
        end(&[&east, &west]);
    });
}

#[test]
fn what_others_take_from_the_daemon_comes_back() {
    Ground::run(|ground| {
        let east = ground.gateway_with("east", &json!({}), ipsec);
        let west = ground.gateway_with("west", &json!({}), ipsec);
        sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
        connected(ground, "east", 1);
        let name = "submariner-cable-west-172-31-0-21-v4-0-0";
        let ask = |call: &[&str]| whack(east.host(), east.ipsec_directory(), call);
        for call in [&["--delete", "--name", name][..], &["--terminate", "--name", name]] {
            let begin = Instant::now();
            let said = ask(call);
            eventually(&format!("{call:?} is undone, which said {said}"), || {
                status(&east).contains("loaded 1, active 1").then_some(())
            });
            sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
            println!("{} was undone after {:?}", call[0], begin.elapsed());
        }
        let office = ["--psk", "--encrypt", "--name", "office", "--id", "192.0.2.1", "--host", "192.0.2.1"];
        let (to, other) = (["--to", "--id", "192.0.2.2"], ["--host", "192.0.2.2"]);
        let said = ask(&[&office[..], &to, &other].concat());
        assert!(said.contains("added"), "{said}");
        ask(&["--delete", "--name", name]);
        eventually("ours comes back", || status(&east).contains("active 1").then_some(()));
        assert!(status(&east).contains("\"office\""), "what others gave the daemon stays");
        end(&[&east, &west]);
    });
}

#[test]
fn a_peer_that_dies_is_told_and_its_return_too() {
    Ground::run(|ground| {
        let east = ground.gateway_with("east", &json!({}), ipsec);
        let west = ground.gateway_with("west", &json!({}), ipsec);
        sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
        connected(ground, "east", 1);
        west.set_uplink("down");
        let begin = Instant::now();
        eventually("an error", || {
            let all = connections(&ground.gateway_object("east", 1)?)?;
            all[0].starts_with("error").then_some(())
        });
        println!("a dead peer was told after {:?}", begin.elapsed());
        west.set_uplink("up");
        let begin = Instant::now();
        connected(ground, "east", 1);
        println!("its return was told after {:?}", begin.elapsed());
        end(&[&east, &west]);
    });
}

#[test]
fn esp_is_wrapped_where_it_is_asked_for() {
    Ground::run(|ground| {
        let forced = |config: &mut Config| {
            ipsec(config);
            config.ipsec.encapsulated = true;
        };
        let east = ground.gateway_with("east", &json!({}), forced);
        let west = ground.gateway_with("west", &json!({}), ipsec);
        sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
        connected(ground, "east", 1);
        assert!(is_wrapped(&east), "{}", explain(ground, &[&east, &west]));
        end(&[&east, &west]);
    });
}

#[test]
fn a_gateway_behind_nat_is_reached() {
    Ground::run(|ground| {
        let east = ground.hidden_gateway_with("east", ipsec);
        let west = ground.gateway_with("west", &json!({}), ipsec);
        sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
        eventually("packets come back", || west.ping(&east).ok());
        connected(ground, "east", 1);
        connected(ground, "west", 1);
        assert!(is_wrapped(&west), "{}", explain(ground, &[&east, &west]));
        end(&[&east, &west]);
    });
}

#[test]
fn a_preferred_server_waits_and_is_called() {
    Ground::run(|ground| {
        let server = json!({"gateway.submariner.io/preferred-server": "true"});
        let both = |config: &mut Config| {
            ipsec(config);
            services(config);
        };
        let east = ground.gateway_with("east", &server, both);
        let west = ground.gateway_with("west", &json!({}), both);
        sure((ground, &[&east, &west]), "packets pass", || east.ping(&west).ok());
        connected(ground, "east", 1);
        connected(ground, "west", 1);
        let endpoint = ground.endpoint_on_hub("east", 1).unwrap();
        assert_eq!(endpoint.pointer("/spec/backend_config/preferred-server"), Some(&json!("true")));
        eventually("it says since when it can be called", || {
            let endpoint = ground.endpoint_on_hub("east", 1)?;
            endpoint.pointer("/spec/backend_config/preferred-server-timestamp")?.as_str().map(drop)
        });
        let said = status(&east);
        assert!(said.contains("...%any[@172.31.0.21-0-1"), "{said}");
        end(&[&east, &west]);
    });
}
