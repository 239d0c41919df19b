use super::*;

fn connection(remote: &str) -> IpsecConnection {
    let end = |address: &str, network: &str| IpsecEnd {
        address: Some(address.parse().unwrap()),
        id: IkeId::Address(address.parse().unwrap()),
        network: network.parse().unwrap(),
        port: Some(4500),
    };
    IpsecConnection {
        role: IpsecRole::Peer,
        proof: IkeProof::Secret,
        local: end("192.0.2.1", "10.1.0.0/16"),
        remote: end(remote, "10.2.0.0/16"),
        encapsulated: false,
        interface: 83,
    }
}

fn name(remote: usize) -> ConnectionName {
    ConnectionName::of("submariner-cable-west-192-0-2-2", Family::V4, (0, remote)).unwrap()
}

fn plan() -> IpsecPlan {
    let connections = [(name(0), connection("192.0.2.2"))].into();
    IpsecPlan { connections, secret: Some(IkeSecret::new(b"secret".to_vec())) }
}

/// The daemon with the plan's connection, up.
fn settled() -> IpsecState {
    let association = |destination: &str, spi| Association { destination: destination.parse().unwrap(), spi };
    let child = Child { inbound: association("192.0.2.1", 1), outbound: association("192.0.2.2", 2) };
    let mark = Some(connection("192.0.2.2").mark());
    let found = FoundConnection { mark, children: vec![child], negotiating: false };
    let daemon = FoundDaemon {
        version: Some((5, 2)),
        listening: ["192.0.2.1".parse().unwrap()].into(),
        connections: [(name(0).as_str().to_owned(), found)].into(),
    };
    let associations = [(child.inbound, 100), (child.outbound, 200)].into();
    IpsecState { daemon: Some(daemon), secret: plan().secret, associations }
}

fn steps(state: &IpsecState, plan: &IpsecPlan) -> Vec<String> {
    diff(state, plan).iter().map(ToString::to_string).collect()
}

fn change(adjust: impl FnOnce(&mut FoundDaemon)) -> IpsecState {
    let mut state = settled();
    adjust(state.daemon.as_mut().unwrap());
    state
}

#[test]
fn what_is_as_planned_needs_no_step() {
    assert_eq!(steps(&settled(), &plan()), Vec::<String>::new());
    assert_eq!(steps(&IpsecState::default(), &IpsecPlan::default()), Vec::<String>::new());
}

#[test]
fn a_daemon_that_is_gone_is_started_before_all_else() {
    assert_eq!(steps(&IpsecState::default(), &plan()), ["ike start"]);
}

#[test]
fn a_fresh_daemon_gets_everything_in_order() {
    let fresh = IpsecState { daemon: Some(FoundDaemon::default()), ..IpsecState::default() };
    let expected = [
        "ike secret (hidden)",
        "ike listen",
        "ike add submariner-cable-west-192-0-2-2-v4-0-0 peer psk if_id 83 host 192.0.2.1 port 4500 id 192.0.2.1 net 10.1.0.0/16 to host 192.0.2.2 port 4500 id 192.0.2.2 net 10.2.0.0/16",
    ];
    assert_eq!(steps(&fresh, &plan()), expected);
}

#[test]
fn other_parameters_are_another_connection_which_the_old_one_makes_way_for() {
    let mut moved = plan();
    moved.connections.insert(name(0), connection("192.0.2.9"));
    let steps = steps(&settled(), &moved);
    assert_eq!(steps[0], "ike delete submariner-cable-west-192-0-2-2-v4-0-0");
    assert!(
        steps[1].starts_with("ike add") && steps[1].contains("192.0.2.9") && steps.len() == 2,
        "{steps:?}"
    );
}

#[test]
fn what_others_gave_the_daemon_stays_and_what_they_put_under_our_name_goes() {
    let theirs = change(|daemon| {
        daemon
            .connections
            .insert("office".to_owned(), FoundConnection { mark: Some(0), ..Default::default() });
    });
    assert_eq!(steps(&theirs, &plan()), Vec::<String>::new());
    let replaced = change(|daemon| {
        daemon.connections.values_mut().for_each(|found| found.mark = Some(0));
    });
    assert_eq!(steps(&replaced, &plan()).len(), 2);
    let empty = IpsecPlan { secret: plan().secret, ..IpsecPlan::default() };
    assert_eq!(steps(&settled(), &empty), ["ike delete submariner-cable-west-192-0-2-2-v4-0-0"]);
}

#[test]
fn a_pair_that_is_down_is_set_up_unless_the_daemon_is_at_it_or_the_other_end_begins() {
    let initiate = ["ike initiate submariner-cable-west-192-0-2-2-v4-0-0"];
    let down = change(|daemon| daemon.connections.values_mut().for_each(|found| found.children.clear()));
    assert_eq!(steps(&down, &plan()), initiate);
    let without_kernel = IpsecState { associations: BTreeMap::new(), ..settled() };
    assert_eq!(steps(&without_kernel, &plan()), initiate);
    let busy = change(|daemon| {
        daemon.connections.values_mut().for_each(|found| {
            found.children.clear();
            found.negotiating = true;
        });
    });
    assert_eq!(steps(&busy, &plan()), Vec::<String>::new());
    let mut server = plan();
    let mut waiting = connection("192.0.2.2");
    waiting.role = IpsecRole::Server;
    server.connections.insert(name(0), waiting.clone());
    let down = change(|daemon| {
        daemon.connections.values_mut().for_each(|found| {
            (found.mark, found.children) = (Some(waiting.mark()), Vec::new());
        });
    });
    assert_eq!(steps(&down, &server), Vec::<String>::new());
}

#[test]
fn evidence_needs_the_word_of_the_daemon_and_of_the_kernel() {
    let pair = |state: &IpsecState| state.evidence()[name(0).as_str()];
    let up = PairEvidence { up: true, negotiating: false, received: 100, sent: 200 };
    assert_eq!(pair(&settled()), up);
    let mut one_way = settled();
    one_way.associations.pop_first();
    assert_eq!(pair(&one_way), PairEvidence::default());
}

#[test]
fn names_cannot_be_taken_for_anything_else() {
    for bad in ["", "-v", "a b", "a\"b", "a\nb", "a;b", "ä", "a/b", "%any", &"x".repeat(201)] {
        assert!(ConnectionName::of(bad, Family::V4, (0, 0)).is_err(), "{bad:?}");
    }
    assert_eq!(name(1).as_str(), "submariner-cable-west-192-0-2-2-v4-0-1");
}

#[test]
fn secrets_are_never_printed() {
    let text = format!("{:?} {} {:?}", plan(), plan(), diff(&change(|_| {}), &plan()));
    assert!(!text.contains("115, 101") && !text.contains("secret\""), "{text}");
    let marks = [connection("192.0.2.2").mark(), connection("192.0.2.3").mark()];
    assert!(marks[0] != marks[1] && marks.iter().all(|mark| IpsecConnection::is_mark(*mark)));
}
