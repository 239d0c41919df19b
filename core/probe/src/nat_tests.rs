//! Two gateways and what lies between them.

use std::time::Duration;

use super::*;

const PORT: u16 = 4490;

/// A gateway on its own network, and how that looks from outside.
struct Site {
    core: NatDiscovery,
    local: LocalEnd,
    nat: Nat,
}

/// What a gateway is behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nat {
    /// Nothing.
    None,
    /// A box with this address that keeps ports; what comes to the port goes to the gateway.
    Forward(IpAddr),
    /// A box with this address that gives every sender another port.
    Random(IpAddr),
}

impl Nat {
    /// Whom a datagram comes from behind it.
    fn outward(self, from: SocketAddr) -> SocketAddr {
        match self {
            Self::None => from,
            Self::Forward(outer) => SocketAddr::new(outer, from.port()),
            Self::Random(outer) => SocketAddr::new(outer, 61_234),
        }
    }

    /// Whether a datagram from outside to this address gets in.
    fn lets_in(self, to: SocketAddr, inside: IpAddr) -> bool {
        match self {
            Self::None => to.ip() == inside,
            Self::Forward(outer) => to.ip() == outer,
            // Only as an answer.
            Self::Random(outer) => to == SocketAddr::new(outer, 61_234),
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(millis: u64) -> Moment {
    Moment(Duration::from_millis(millis))
}

fn site(cluster: &str, address: &str, nat: Nat) -> Site {
    let local = LocalEnd {
        cluster: cluster.parse().unwrap(),
        cable: CableName(format!("submariner-cable-{cluster}")),
        private_ips: PerFamily::of([ip(address)]),
        port: PORT,
    };
    let mut core = NatDiscovery::default();
    core.set_local(at(0), Some(local.clone()));
    Site { core, local, nat }
}

fn id(site: &Site) -> CableId {
    CableId { cluster: site.local.cluster.clone(), family: Family::V4, path: site.local.cable.clone() }
}

fn address(site: &Site) -> IpAddr {
    site.local.private_ips.v4.unwrap()
}

/// Tells a site of another one.
fn introduce(site: &mut Site, other: &Site) {
    let public_ip = match other.nat {
        Nat::None => None,
        Nat::Forward(outer) | Nat::Random(outer) => Some(outer),
    };
    let end = RemoteEnd { private_ip: Some(address(other)), public_ip, port: PORT };
    site.core.set_remotes(at(0), &[(id(other), end)].into());
}

fn ask(site: &mut Site, now: Moment, number: &mut u64) -> Vec<Datagram> {
    site.core.handle_timeout(now, &mut || {
        *number += 0x9e37_79b9_7f4a_7c15_u64 % 1000;
        *number
    });
    sent(site)
}

fn sent(site: &mut Site) -> Vec<Datagram> {
    std::iter::from_fn(|| site.core.poll_transmit()).collect()
}

/// Carries datagrams of one site to the other, as far as they get.
fn carry(now: Moment, from: &Site, to: &mut Site, datagrams: Vec<Datagram>) {
    let sender = from.nat.outward(SocketAddr::new(address(from), PORT));
    for datagram in datagrams {
        if to.nat.lets_in(datagram.to, address(to)) {
            to.core.handle_datagram(now, sender, &datagram.payload);
        }
    }
}

/// Lets both ask and answer for a while.
fn talk(east: &mut Site, west: &mut Site, until: u64) {
    let mut number = 7;
    for now in (0..until).step_by(50).map(at) {
        let (one, other) = (ask(east, now, &mut number), ask(west, now, &mut number));
        carry(now, east, west, one);
        carry(now, west, east, other);
        let (one, other) = (sent(east), sent(west));
        carry(now, east, west, one);
        carry(now, west, east, other);
    }
}

fn found(site: &Site, other: &Site) -> Option<Found> {
    site.core.found().get(&id(other)).copied()
}

fn introduced(nats: (Nat, Nat)) -> (Site, Site) {
    let (mut east, mut west) = (site("east", "10.1.2.3", nats.0), site("west", "10.9.8.7", nats.1));
    introduce(&mut east, &west);
    introduce(&mut west, &east);
    (east, west)
}

const OUTER_EAST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 4));
const OUTER_WEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

#[test]
fn gateways_on_one_network_find_their_private_addresses_at_once() {
    let (mut east, mut west) = introduced((Nat::None, Nat::None));
    talk(&mut east, &mut west, 50);
    let private = |address| Some(Found { way: Way::Private, address, nat: false });
    assert_eq!(found(&east, &west), private(address(&west)));
    assert_eq!(found(&west, &east), private(address(&east)));
    assert_eq!(east.core.poll_changed(), Some(id(&west)));
}

#[test]
fn behind_a_port_forward_a_gateway_is_found_by_its_public_address_with_a_nat() {
    let (mut east, mut west) = introduced((Nat::None, Nat::Forward(OUTER_WEST)));
    talk(&mut east, &mut west, 3000);
    assert_eq!(found(&east, &west), Some(Found { way: Way::Public, address: OUTER_WEST, nat: true }));
    // What west sends arrives from an address that is not its own, so it hears of a NAT too.
    assert_eq!(found(&west, &east), Some(Found { way: Way::Private, address: address(&east), nat: true }));
}

#[test]
fn behind_a_nat_that_changes_ports_a_gateway_finds_others_and_is_not_found() {
    let (mut east, mut west) = introduced((Nat::Random(OUTER_EAST), Nat::None));
    talk(&mut east, &mut west, 3000);
    assert_eq!(found(&east, &west), Some(Found { way: Way::Private, address: address(&west), nat: true }));
    assert_eq!(found(&west, &east), None);
}

#[test]
fn the_form_of_names_that_a_member_knows_is_found_out() {
    let (mut east, west) = introduced((Nat::None, Nat::None));
    let mut number = 0;
    let asked = ask(&mut east, at(0), &mut number);
    let Some(Body::Request(request)) = Message::read(&asked[0].payload) else { panic!("no request") };
    let response = Response {
        number: request.number,
        outcome: Outcome::UnknownDstEndpoint.into(),
        ..Response::default()
    };
    east.core.handle_datagram(
        at(1),
        SocketAddr::new(address(&west), PORT),
        &Message::response(response).write(),
    );
    let again = ask(&mut east, at(300), &mut number);
    let Some(Body::Request(request)) = Message::read(&again[0].payload) else { panic!("no request") };
    assert_eq!(request.receiver.unwrap().endpoint_id, "submariner-cable-west-v4");
}

/// An answer of west to the last question of east, changed by `change`, from `from`.
fn forged(change: impl FnOnce(&mut Response), from: &str) -> Option<Found> {
    let (mut east, mut west) = introduced((Nat::None, Nat::None));
    let asked = ask(&mut east, at(0), &mut 0);
    carry(at(0), &east, &mut west, asked);
    let Some(Body::Response(mut response)) = Message::read(&sent(&mut west)[0].payload) else {
        panic!("no response")
    };
    change(&mut response);
    east.core.handle_datagram(at(1), from.parse().unwrap(), &Message::response(response).write());
    found(&east, &west)
}

#[test]
fn what_answers_no_question_changes_nothing() {
    let west = "10.9.8.7:4490";
    assert!(forged(|_| {}, west).is_some(), "the answer itself");
    assert_eq!(forged(|response| response.number += 1, west), None, "another number");
    assert_eq!(forged(|response| response.sender = None, west), None, "nobody");
    assert_eq!(forged(|response| response.sender.as_mut().unwrap().cluster_id = "north".into(), west), None);
    assert_eq!(forged(|response| response.outcome = 77, west), None, "an outcome that is none");
    assert_eq!(forged(|response| response.outcome = 4, west), None, "malformed");
    assert_eq!(forged(|_| {}, "10.9.8.8:4490"), None, "another host of a private network");
}

#[test]
fn an_answer_counts_once() {
    let (mut east, mut west) = introduced((Nat::None, Nat::None));
    let asked = ask(&mut east, at(0), &mut 0);
    carry(at(0), &east, &mut west, asked);
    let payload = sent(&mut west)[0].payload.clone();
    let from = SocketAddr::new(address(&west), PORT);
    east.core.handle_datagram(at(1), from, &payload);
    assert!(east.core.poll_changed().is_some() && east.core.poll_changed().is_none());
    east.core.handle_datagram(at(2), from, &payload);
    assert_eq!(east.core.poll_changed(), None);
}

#[test]
fn an_answer_that_comes_after_ten_seconds_is_none() {
    let (mut east, mut west) = introduced((Nat::None, Nat::None));
    let asked = ask(&mut east, at(0), &mut 0);
    carry(at(0), &east, &mut west, asked);
    let payload = sent(&mut west)[0].payload.clone();
    ask(&mut east, at(10_001), &mut 100);
    east.core.handle_datagram(at(10_002), SocketAddr::new(address(&west), PORT), &payload);
    assert_eq!(found(&east, &west), None);
}

#[test]
fn the_private_address_wins_where_it_answers_soon_and_not_later() {
    let end = || RemoteEnd { private_ip: Some(ip("10.9.8.7")), public_ip: Some(OUTER_WEST), port: PORT };
    for (later, way) in [(900, Way::Private), (1100, Way::Public)] {
        let mut remote = Remote::new(end(), at(0));
        assert!(remote.answered(at(0), Way::Public, true));
        remote.answered(at(later), Way::Private, false);
        assert_eq!(remote.found().map(|found| found.way), Some(way), "after {later} ms");
    }
    // Until the public one has been silent for long.
    let mut remote = Remote::new(end(), at(0));
    remote.answered(at(0), Way::Public, true);
    remote.answered(at(40_000), Way::Private, false);
    assert_eq!(remote.found().map(|found| found.way), Some(Way::Public));
    remote.answered(at(66_000), Way::Private, false);
    assert_eq!(remote.found().map(|found| found.way), Some(Way::Private));
}

#[test]
fn doubt_asks_at_once_and_keeps_what_is_in_use_until_there_is_an_answer() {
    let (mut east, mut west) = introduced((Nat::None, Nat::None));
    talk(&mut east, &mut west, 50);
    let before = found(&east, &west);
    assert!(ask(&mut east, at(5000), &mut 900).is_empty(), "it has answered");
    east.core.doubt(at(5000), &id(&west));
    assert_eq!(ask(&mut east, at(5000), &mut 900).len(), 1);
    assert_eq!(found(&east, &west), before);
}

#[test]
fn an_end_whose_addresses_change_is_found_anew_and_one_that_goes_is_forgotten() {
    let (mut east, mut west) = introduced((Nat::None, Nat::None));
    talk(&mut east, &mut west, 50);
    let same = RemoteEnd { private_ip: Some(address(&west)), public_ip: None, port: PORT };
    east.core.set_remotes(at(60), &[(id(&west), same.clone())].into());
    assert!(found(&east, &west).is_some());
    let moved = RemoteEnd { private_ip: Some(ip("10.9.8.8")), ..same };
    east.core.set_remotes(at(60), &[(id(&west), moved)].into());
    assert_eq!(found(&east, &west), None);
    east.core.set_remotes(at(70), &BTreeMap::new());
    assert_eq!(east.core.poll_timeout(), None);
}

fn response_to(request: &Request, from: &str) -> Option<Response> {
    let local = site("west", "10.9.8.7", Nat::None).local;
    answer(&local, from.parse().unwrap(), request)
}

fn question() -> Request {
    Request {
        number: 1,
        sender: Some(End { cluster_id: "east".into(), endpoint_id: "submariner-cable-east".into() }),
        receiver: Some(End { cluster_id: "west".into(), endpoint_id: "submariner-cable-west".into() }),
        using_src: Some("10.1.2.3:4490".parse::<SocketAddr>().unwrap().into()),
        using_dst: Some("10.9.8.7:4490".parse::<SocketAddr>().unwrap().into()),
    }
}

#[test]
fn answers_tell_what_was_seen() {
    let flags = |request: &Request, from: &str| {
        let told = response_to(request, from).unwrap();
        let flags = (told.src_ip_nat_detected, told.src_port_nat_detected, told.dst_ip_nat_detected);
        (told.outcome(), flags)
    };
    assert_eq!(flags(&question(), "10.1.2.3:4490"), (Outcome::Ok, (false, false, false)));
    assert_eq!(flags(&question(), "192.0.2.1:4490"), (Outcome::NatDetected, (true, false, false)));
    assert_eq!(flags(&question(), "10.1.2.3:9"), (Outcome::NatDetected, (false, true, false)));
    let to_outside =
        Request { using_dst: Some("203.0.113.9:4490".parse::<SocketAddr>().unwrap().into()), ..question() };
    assert_eq!(flags(&to_outside, "10.1.2.3:4490"), (Outcome::NatDetected, (false, false, true)));
    let told = response_to(&question(), "10.1.2.3:4490").unwrap();
    assert_eq!(told.received_src.unwrap().ip, "10.1.2.3");
    assert_eq!((told.sender, told.receiver), (question().receiver, question().sender));
}

#[test]
fn questions_for_others_or_without_their_parts_are_answered_as_such() {
    let outcome = |request: Request| response_to(&request, "10.1.2.3:4490").unwrap().outcome();
    let to = |cluster: &str, cable: &str| {
        let receiver = End { cluster_id: cluster.into(), endpoint_id: cable.into() };
        Request { receiver: Some(receiver), ..question() }
    };
    assert_eq!(outcome(to("north", "submariner-cable-west")), Outcome::UnknownDstCluster);
    assert_eq!(outcome(to("west", "submariner-cable-other")), Outcome::UnknownDstEndpoint);
    assert_eq!(outcome(to("west", "submariner-cable-west-v4")), Outcome::Ok);
    assert_eq!(outcome(to("west", "submariner-cable-west-v6")), Outcome::UnknownDstEndpoint);
    assert_eq!(outcome(Request::default()), Outcome::Malformed);
    assert_eq!(outcome(Request { using_src: None, ..question() }), Outcome::Malformed);
    assert_eq!(response_to(&question(), "[2001:db8::1]:4490"), None, "of a family that we have not");
}

#[test]
fn a_flood_of_strangers_takes_nothing_from_members() {
    let (mut east, mut west) = introduced((Nat::None, Nat::None));
    let payload = Message::request(question()).write();
    for _ in 0..2000 {
        west.core.handle_datagram(at(0), "192.0.2.66:1".parse().unwrap(), &payload);
        west.core.handle_datagram(at(0), "192.0.2.66:1".parse().unwrap(), &payload[..9]);
    }
    assert_eq!(sent(&mut west).len(), 500);
    let asked = ask(&mut east, at(0), &mut 0);
    carry(at(0), &east, &mut west, asked);
    assert_eq!(sent(&mut west).len(), 1, "the member is answered");
}

#[test]
fn an_end_that_never_answers_is_asked_four_times_quickly_then_each_second() {
    let (mut east, _) = introduced((Nat::None, Nat::None));
    let mut number = 0;
    let times: Vec<u64> =
        (0..4000).step_by(50).filter(|now| !ask(&mut east, at(*now), &mut number).is_empty()).collect();
    assert_eq!(times, [0, 250, 500, 750, 1750, 2750, 3750]);
}

proptest::proptest! {
    #[test]
    fn no_bytes_from_outside_change_what_is_known(bytes in proptest::collection::vec(0_u8.., 0..200)) {
        let (mut east, mut west) = introduced((Nat::None, Nat::None));
        talk(&mut east, &mut west, 50);
        let before = found(&east, &west);
        east.core.handle_datagram(at(60), SocketAddr::new(address(&west), PORT), &bytes);
        proptest::prop_assert_eq!(found(&east, &west), before);
    }
}
