//! The daemon between hosts: pods, nodes, a remote cluster behind a wire that stands for the cable.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod numbers;
mod site;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use numbers::Numbers;
use site::{Site, in_own_world};
use subm_lab::traffic::{self, PingRun};
use subm_lab::{Host, Watch};

const V4: Numbers = Numbers::V4;
const V6: Numbers = Numbers::V6;
const LIMIT: Duration = Duration::from_secs(2);

/// Who a host is to the remote pod; `None` if it does not get there.
fn seen_from(host: &Host, numbers: Numbers, timeout: Duration) -> Option<IpAddr> {
    traffic::tcp(host, numbers.echo(), 100, timeout).ok().map(|echoed| echoed.seen_as.ip())
}

/// Waits until a host is seen as this address, and tells how long that took.
fn until_seen_as(host: &Host, address: &str) -> Duration {
    let (wanted, begun): (IpAddr, _) = (address.parse().unwrap(), Instant::now());
    let numbers = if wanted.is_ipv4() { V4 } else { V6 };
    while begun.elapsed() < Duration::from_secs(10) {
        if seen_from(host, numbers, Duration::from_millis(300)) == Some(wanted) {
            return begun.elapsed();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} is {:?} to the remote pod, not {address}", host.name(), seen_from(host, numbers, LIMIT));
}

/// Everybody on the site reaches the remote pod over a family, with every size of payload.
fn everybody_gets_through(site: &Site, numbers: Numbers) {
    until_seen_as(&site.pod, numbers.pod);
    until_seen_as(&site.worker, numbers.worker_cni);
    until_seen_as(&site.gateway, numbers.gateway_cni);
    for bytes in [0, 1400, 1_000_000] {
        let echoed = traffic::tcp(&site.pod, numbers.echo(), bytes, LIMIT).unwrap();
        assert!(echoed.source_kept(), "{echoed:?}");
    }
    assert!(traffic::udp(&site.pod, numbers.echo(), 1_000, LIMIT).unwrap().source_kept());
    for bytes in [56, 1372, 1472, 4000] {
        traffic::ping(&site.pod, numbers.remote_pod(), bytes, LIMIT).unwrap();
    }
}

fn statuses(site: &Site, node: &str) -> Vec<String> {
    let status = site.status(node);
    let remotes = status["remoteEndpoints"].as_array().cloned().unwrap_or_default();
    remotes.iter().map(|remote| remote["status"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn pods_and_nodes_reach_a_remote_pod_under_an_address_of_their_own() {
    in_own_world(|servers| async move {
        let site = Site::build(servers).await;
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        everybody_gets_through(&site, V4);
        site.until(|site| statuses(site, "east-worker") == ["connected"]);
        let saved = site.saved_sysctls("east-worker");
        assert_eq!(saved["net/ipv4/conf/eth0/rp_filter"], 1, "{saved}");
        assert_eq!(site.worker.read_sysctl("net/ipv4/conf/eth0/rp_filter").unwrap(), "2");
        site.until(|site| site.condition("east-worker", "Ready") == "True");
        assert_eq!(statuses(&site, "east-gateway"), ["none"]);
    });
}

#[test]
fn a_cluster_of_ipv6_alone_works_as_one_of_ipv4() {
    in_own_world(|servers| async move {
        let site = Site::of(servers, &[V6]).await;
        let uplink = |name: &str| site.worker.read_sysctl(&format!("net/ipv6/conf/eth0/{name}")).unwrap();
        assert_eq!((uplink("accept_ra"), uplink("forwarding")), ("1".to_owned(), "0".to_owned()));
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        everybody_gets_through(&site, V6);
        site.until(|site| statuses(site, "east-worker") == ["connected"]);
        site.until(|site| site.condition("east-worker", "Ready") == "True");
        assert_eq!((uplink("accept_ra"), uplink("forwarding")), ("2".to_owned(), "1".to_owned()));
        let saved = site.saved_sysctls("east-worker");
        assert_eq!(saved["net/ipv6/conf/eth0/accept_ra"], 1, "{saved}");
    });
}

#[test]
fn a_cluster_of_both_families_works_in_each() {
    in_own_world(|servers| async move {
        let site = Site::of(servers, &[V4, V6]).await;
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        everybody_gets_through(&site, V4);
        everybody_gets_through(&site, V6);
        site.until(|site| statuses(site, "east-worker") == ["connected", "connected"]);
        site.until(|site| site.condition("east-worker", "Ready") == "True");
    });
}

#[test]
fn what_somebody_deletes_comes_back_over_ipv6_too() {
    in_own_world(|servers| async move {
        let site = Site::of(servers, &[V6]).await;
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        until_seen_as(&site.pod, V6.pod);
        let watch = Watch::start(&site.worker, "eth0", &[V6.suspect()]).await.unwrap();
        for kind in site::KINDS {
            site::delete(&site.worker, kind);
            let took = until_seen_as(&site.pod, V6.pod);
            assert!(took < Duration::from_secs(1), "{kind:?} took {took:?}");
        }
        assert_eq!(watch.stop().unwrap().len(), 0);
    });
}

#[test]
fn what_somebody_deletes_comes_back_and_nothing_leaves_in_clear_meanwhile() {
    in_own_world(|servers| async move {
        let site = Site::build(servers).await;
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        until_seen_as(&site.pod, "10.1.1.2");
        let watch = Watch::start(&site.worker, "eth0", &[V4.suspect()]).await.unwrap();
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
    in_own_world(|servers| async move {
        let site = Site::build(servers).await;
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
    in_own_world(|servers| async move {
        let site = Site::build(servers).await;
        let suspect = [V4.suspect()];
        let watch = Watch::start(&site.worker, "eth0", &suspect).await.unwrap();
        assert_eq!(seen_from(&site.pod, V4, Duration::from_millis(100)), None);
        assert_ne!(watch.stop().unwrap().len(), 0, "without the daemon packets leave in clear");
        let _agents = [site.start(&site.worker), site.start(&site.gateway)];
        until_seen_as(&site.pod, "10.1.1.2");
        let watch = Watch::start(&site.worker, "eth0", &suspect).await.unwrap();
        site.delete_endpoint("east");
        site.until(|site| seen_from(&site.pod, V4, Duration::from_millis(100)).is_none());
        site.until(|site| site.condition("east-worker", "GatewayFound") == "False");
        site.delete_endpoint("west");
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(seen_from(&site.pod, V4, Duration::from_millis(300)), None);
        assert_eq!(watch.stop().unwrap().len(), 0);
    });
}

#[test]
fn a_restart_and_the_loss_of_the_api_cost_no_packet() {
    in_own_world(|servers| async move {
        let site = Site::build(servers).await;
        let _gateway = site.start(&site.gateway);
        let agent = site.start(&site.worker);
        until_seen_as(&site.pod, "10.1.1.2");
        let before = site::state(&site.worker);
        let pings = PingRun::start(&site.pod, V4.remote_pod(), Duration::from_millis(10)).unwrap();
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
