//! The daemon between hosts: pods, nodes, a remote cluster behind a wire that stands for the cable.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod site;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use site::{Site, in_own_world};
use subm_lab::traffic::{self, PingRun};
use subm_lab::{ECHO_PORT, Host, Suspect, Watch};

const REMOTE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 5);
const LIMIT: Duration = Duration::from_secs(2);

fn echo() -> SocketAddr {
    SocketAddr::from((REMOTE, ECHO_PORT))
}

/// Who a host is to the remote pod; `None` if it does not get there.
fn seen_from(host: &Host, timeout: Duration) -> Option<IpAddr> {
    traffic::tcp(host, echo(), 100, timeout).ok().map(|echoed| echoed.seen_as.ip())
}

/// Waits until a host is seen as this address, and tells how long that took.
fn until_seen_as(host: &Host, address: &str) -> Duration {
    let (wanted, begun) = (Some(address.parse().unwrap()), Instant::now());
    while begun.elapsed() < Duration::from_secs(10) {
        if seen_from(host, Duration::from_millis(300)) == wanted {
            return begun.elapsed();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} is {:?} to the remote pod, not {address}", host.name(), seen_from(host, LIMIT));
}

#[test]
fn pods_and_nodes_reach_a_remote_pod_under_an_address_of_their_own() {
    in_own_world(async {
        let site = Site::build().await;
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        until_seen_as(&site.pod, "10.1.1.2");
        until_seen_as(&site.worker, "10.1.1.1");
        until_seen_as(&site.gateway, "10.1.0.1");
        for bytes in [0, 1400, 1_000_000] {
            let echoed = traffic::tcp(&site.pod, echo(), bytes, LIMIT).unwrap();
            assert!(echoed.source_kept(), "{echoed:?}");
        }
        assert!(traffic::udp(&site.pod, echo(), 1_000, LIMIT).unwrap().source_kept());
        traffic::ping(&site.pod, REMOTE, 56, LIMIT).unwrap();
        site.until(|site| site.status("east-worker")["remoteEndpoints"][0]["status"] == "connected");
        let saved = site.saved_sysctls("east-worker");
        assert_eq!(saved["net/ipv4/conf/eth0/rp_filter"], 1, "{saved}");
        assert_eq!(site.worker.read_sysctl("net/ipv4/conf/eth0/rp_filter").unwrap(), "2");
        site.until(|site| site.condition("east-worker", "Ready") == "True");
        assert_eq!(site.status("east-gateway")["remoteEndpoints"][0]["status"], "none");
    });
}

#[test]
fn what_somebody_deletes_comes_back_and_nothing_leaves_in_clear_meanwhile() {
    in_own_world(async {
        let site = Site::build().await;
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        until_seen_as(&site.pod, "10.1.1.2");
        let suspect = Suspect { src: None, dst: Some("10.2.0.0/16".parse().unwrap()) };
        let watch = Watch::start(&site.worker, "eth0", &[suspect]).await.unwrap();
        for kind in site::KINDS {
            site::delete(&site.worker, kind);
            let took = until_seen_as(&site.pod, "10.1.1.2");
            assert!(took < Duration::from_secs(1), "{kind:?} took {took:?}");
        }
        assert_eq!(watch.stop().unwrap().len(), 0);
    });
}

#[test]
fn an_interface_of_the_network_plugin_that_comes_late_is_taken_at_once() {
    in_own_world(async {
        let site = Site::build().await;
        let address = "10.1.1.1/24".parse().unwrap();
        site::remove_address(&site.worker, "cni0", address).await;
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        site.until(|site| site.condition("east-worker", "CNIInterfaceFound") == "False");
        site.worker.add_address("cni0", address).await.unwrap();
        let took = until_seen_as(&site.worker, "10.1.1.1");
        assert!(took < Duration::from_secs(1), "{took:?}");
        site.until(|site| site.condition("east-worker", "CNIInterfaceFound") == "True");
    });
}

#[test]
fn without_a_gateway_or_an_endpoint_the_way_is_closed() {
    in_own_world(async {
        let site = Site::build().await;
        let suspect = [Suspect { src: None, dst: Some("10.2.0.0/16".parse().unwrap()) }];
        let watch = Watch::start(&site.worker, "eth0", &suspect).await.unwrap();
        assert_eq!(seen_from(&site.pod, Duration::from_millis(100)), None);
        assert_ne!(watch.stop().unwrap().len(), 0, "without the daemon packets leave in clear");
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        until_seen_as(&site.pod, "10.1.1.2");
        let watch = Watch::start(&site.worker, "eth0", &suspect).await.unwrap();
        site.delete_endpoint("east");
        site.until(|site| seen_from(&site.pod, Duration::from_millis(100)).is_none());
        site.until(|site| site.condition("east-worker", "GatewayFound") == "False");
        site.delete_endpoint("west");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(seen_from(&site.pod, Duration::from_millis(300)), None);
        assert_eq!(watch.stop().unwrap().len(), 0);
    });
}

#[test]
fn a_restart_and_the_loss_of_the_api_cost_no_packet() {
    in_own_world(async {
        let site = Site::build().await;
        let _gateway = site.start(&site.gateway);
        let agent = site.start(&site.worker);
        until_seen_as(&site.pod, "10.1.1.2");
        let before = site::state(&site.worker);
        let pings = PingRun::start(&site.pod, REMOTE, Duration::from_millis(10)).unwrap();
        agent.stop();
        assert_eq!(site::state(&site.worker), before);
        let _agent = site.start(&site.worker);
        std::thread::sleep(Duration::from_secs(1));
        site.cut_off();
        std::thread::sleep(Duration::from_secs(1));
        let report = pings.stop().unwrap();
        assert!(report.lost.is_empty() && report.sent > 100, "{report:?}");
        assert_eq!(site::state(&site.worker), before);
    });
}
