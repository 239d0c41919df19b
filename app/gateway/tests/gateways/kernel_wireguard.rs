//! WireGuard cables that the kernel carries.

use std::time::Duration;

use subm_lab::EchoServer;
use subm_types::Family;

use crate::ground::{Gateway, Ground, eventually};
use crate::{BOTH, FOUR, condition, connections};

fn pass(east: &Gateway, west: &Gateway, families: &[Family]) {
    for family in families {
        eventually("packets pass", || east.ping_with(west, *family, 1000).ok());
        eventually("packets come back", || west.ping_with(east, *family, 1000).ok());
    }
}

fn carried(ground: &Ground, cluster: &str, how: &str) {
    eventually(&format!("{cluster} says {how}"), || {
        condition(&ground.gateway_object(cluster, 1)?, "CarriedByKernel").filter(|said| said.starts_with(how))
    });
}

#[test]
fn two_gateways_of_both_families_carry_packets_with_the_go_implementations_parameters() {
    Ground::run(|ground| {
        let east = ground.wireguard_gateway("east", BOTH, "auto");
        let west = ground.wireguard_gateway("west", BOTH, "kernel");
        pass(&east, &west, BOTH);
        eventually("the cables are measured", || {
            let all = connections(&ground.gateway_object("east", 1)?)?;
            (all == ["172.31.0.21 connected", "172.31.0.21 connected"]).then_some(())
        });
        carried(ground, "east", "True KernelWireguard");
        assert!(east.listing("ip -d link show submariner").contains("wireguard"));
        assert_eq!(east.listing("wg show submariner listen-port").trim(), "4500");
        assert_eq!(east.listing("wg show submariner fwmark").trim(), "off");
        let keys = east.listing("wg show submariner public-key; wg show submariner peers");
        let [own, peer] = keys.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
        let published = |cluster| {
            let endpoint = ground.endpoint_on_hub(cluster, 1).unwrap();
            endpoint.pointer("/spec/backend_config/publicKey").unwrap().as_str().unwrap().to_owned()
        };
        assert_eq!((own, peer), (published("east").as_str(), published("west").as_str()));
        assert_eq!(east.listing("wg show submariner persistent-keepalive | cut -f2").trim(), "10");
        assert_eq!(east.listing("wg show submariner endpoints | cut -f2").trim(), "172.31.0.21:4500");
        let allowed = east.listing("wg show submariner allowed-ips | cut -f2");
        assert_eq!(allowed.trim(), "10.2.0.0/16 fd10:2::/48");
    });
}

#[test]
fn kernel_and_process_are_peers_and_take_over_from_each_other() {
    Ground::run(|ground| {
        let mut east = ground.wireguard_gateway("east", BOTH, "userspace");
        let west = ground.wireguard_gateway("west", BOTH, "kernel");
        pass(&east, &west, BOTH);
        carried(ground, "east", "False UserspaceWireguard");
        carried(ground, "west", "True KernelWireguard");
        for (carrier, how) in [("auto", "True KernelWireguard"), ("userspace", "False UserspaceWireguard")] {
            east.restart_carried_by(carrier);
            carried(ground, "east", how);
            pass(&east, &west, BOTH);
        }
    });
}

#[test]
fn restart_loses_no_packet() {
    Ground::run(|ground| {
        let mut east = ground.wireguard_gateway("east", FOUR, "kernel");
        let west = ground.wireguard_gateway("west", FOUR, "kernel");
        pass(&east, &west, FOUR);
        let (pings, before) = (west.keep_pinging(&east, Family::V4), east.kernel());
        let latest = || east_handshake(&east);
        let handshake = latest();
        east.stop();
        std::thread::sleep(Duration::from_secs(1));
        east.start();
        eventually("the gateway is back", || {
            let object = ground.gateway_object("east", 1)?;
            (connections(&object)? == ["172.31.0.21 connected"]).then_some(())
        });
        std::thread::sleep(Duration::from_secs(1));
        let report = pings.stop().unwrap();
        println!("{} of {} lost", report.lost.len(), report.sent);
        assert!(report.sent > 50 && report.lost.is_empty(), "{:?} of {}", report.lost, report.sent);
        assert_eq!(east.kernel(), before);
        assert_eq!(east_handshake(&east), handshake, "the session is the one from before");
    });
}

fn east_handshake(east: &Gateway) -> String {
    east.listing("wg show submariner latest-handshakes")
}

#[test]
fn ratio_to_plain_forwarding_is_told() {
    const BYTES: u64 = 4_000_000;
    Ground::run(|ground| {
        let east = ground.wireguard_gateway("east", FOUR, "kernel");
        let west = ground.wireguard_gateway("west", FOUR, "kernel");
        pass(&east, &west, FOUR);
        let server = EchoServer::start().unwrap();
        west.echo(&server);
        let mut ratios: Vec<f64> = (0..3)
            .map(|_| {
                let [cable, plain] = east.transfer(&west, BYTES);
                plain.as_secs_f64() / cable.as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("kernel WireGuard to plain forwarding, one TCP connection: {:.2}", ratios[1]);
    });
}

#[test]
fn new_key_of_a_gateway_is_learned_and_the_old_one_goes() {
    Ground::run(|ground| {
        let mut east = ground.wireguard_gateway("east", FOUR, "kernel");
        let west = ground.wireguard_gateway("west", FOUR, "kernel");
        pass(&east, &west, FOUR);
        let old = west.listing("wg show submariner peers");
        let secrets = ground.home("east").objects().list("secrets", Some("submariner-operator"));
        let secret = secrets.iter().find_map(|one| one["metadata"]["name"].as_str()).unwrap().to_owned();
        east.stop();
        ground.home("east").objects().delete("secrets", "submariner-operator", &secret).unwrap();
        east.start();
        eventually("west has the new key alone", || {
            let peers = west.listing("wg show submariner peers");
            (peers != old && peers.lines().count() == 1).then_some(())
        });
        pass(&east, &west, FOUR);
    });
}

#[test]
fn what_others_do_to_peers_is_undone_while_packets_pass() {
    Ground::run(|ground| {
        let east = ground.wireguard_gateway("east", FOUR, "kernel");
        let west = ground.wireguard_gateway("west", FOUR, "kernel");
        pass(&east, &west, FOUR);
        let peer = east.listing("wg show submariner peers").trim().to_owned();
        let config = || east.listing("wg show submariner dump | cut -f1,2,3,4,8");
        let before = config();
        for edit in [
            "remove",
            "allowed-ips 10.99.0.0/16",
            "endpoint 172.31.0.99:9",
            "persistent-keepalive 0",
            "preshared-key /dev/null",
        ] {
            east.listing(&format!("wg set submariner peer {peer} {edit}"));
            eventually(&format!("{edit} is undone"), || (config() == before).then_some(()));
            pass(&east, &west, FOUR);
        }
        east.listing("wg set submariner listen-port 4777 fwmark 9");
        eventually("port and mark are undone", || (config() == before).then_some(()));
        east.listing("wg set submariner peer $(wg genkey | wg pubkey) allowed-ips 10.98.0.0/16");
        eventually("a foreign peer goes", || {
            (east.listing("wg show submariner peers").trim() == peer).then_some(())
        });
        pass(&east, &west, FOUR);
    });
}
