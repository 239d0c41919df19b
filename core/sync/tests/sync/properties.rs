//! Whatever happens: rounds settle, order does not matter, and nothing of others is touched.

use proptest::prelude::*;
use subm_api::check::label;
use subm_api::{Kind, keys};
use subm_sync::{Change, Completeness, HubTrust, Object, ObjectKind, Publication, Snapshot, plan};

use crate::model::{Member, Side, clusterset, endpoint_name, go_cluster, go_endpoint, settle_all};

/// Something that happens to a clusterset of three.
#[derive(Debug, Clone)]
enum Event {
    Round(usize),
    Takeover(usize, u8),
    Move(usize, u8),
    Withdraw(usize),
    Hold(usize),
    Empty,
    Backup,
    Restore,
    LoseHome(usize),
    LoseCopy(usize, usize),
    LoseOnHub(usize),
    Go(u8, u8),
    Duplicate(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let member = 0..3_usize;
    prop_oneof![
        6 => member.clone().prop_map(Event::Round),
        2 => (member.clone(), 1..9_u8).prop_map(|(member, host)| Event::Takeover(member, host)),
        1 => (member.clone(), 1..5_u8).prop_map(|(member, number)| Event::Move(member, number)),
        1 => member.clone().prop_map(Event::Withdraw),
        1 => member.clone().prop_map(Event::Hold),
        1 => Just(Event::Empty),
        1 => Just(Event::Backup),
        1 => Just(Event::Restore),
        1 => member.clone().prop_map(Event::LoseHome),
        2 => (member.clone(), any::<usize>()).prop_map(|(member, which)| Event::LoseCopy(member, which)),
        2 => any::<usize>().prop_map(Event::LoseOnHub),
        2 => (1..6_u8, 1..4_u8).prop_map(|(number, host)| Event::Go(number, host)),
        1 => member.prop_map(Event::Duplicate),
    ]
}

struct World {
    members: Vec<Member>,
    numbers: Vec<u8>,
    epoch: u64,
    hub: Side,
    backup: Side,
}

impl World {
    fn new() -> Self {
        let (members, hub) = clusterset(&["east", "north", "west"]);
        let backup = hub.clone();
        Self { members, numbers: vec![1, 2, 3], epoch: 1, hub, backup }
    }

    fn publish(&mut self, member: usize, host: u8) {
        self.epoch += 1;
        self.members[member].publish(self.numbers[member], host, self.epoch);
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Round(member) => drop(self.members[member].round(&mut self.hub)),
            Event::Takeover(member, host) => self.publish(member, host),
            Event::Move(member, number) => {
                self.numbers[member] = number;
                self.publish(member, number);
            }
            Event::Withdraw(member) => self.members[member].own.publication = Publication::Withdraw,
            Event::Hold(member) => self.members[member].own.publication = Publication::Hold,
            Event::Empty => self.hub = Side::default(),
            Event::Backup => self.backup = self.hub.clone(),
            Event::Restore => self.hub = self.backup.clone(),
            Event::LoseHome(member) => self.members[member].home = Side::default(),
            Event::LoseCopy(member, which) => lose(&mut self.members[member].home, which),
            Event::LoseOnHub(which) => lose(&mut self.hub, which),
            Event::Go(number, host) => {
                if !self.hub.clusters.contains_key("go") {
                    self.hub.put(go_cluster("go", number));
                }
                if !self.hub.endpoints.contains_key(&endpoint_name("go", host)) {
                    self.hub.put(go_endpoint("go", number, host));
                }
            }
            Event::Duplicate(member) => {
                let mut twin = self.members[member].clone();
                twin.own.uid.0.push_str("-twin");
                let before = self.hub.clone();
                let ours = before.clusters.contains_key(twin.own.cluster.as_str());
                twin.round(&mut self.hub);
                if ours {
                    assert_eq!(self.hub, before, "a twin wrote");
                } else {
                    self.hub = before;
                }
            }
        }
    }
}

fn lose(side: &mut Side, which: usize) {
    let names: Vec<String> = side.endpoints.keys().chain(side.clusters.keys()).cloned().collect();
    if let Some(name) = names.get(which % names.len().max(1)) {
        side.endpoints.remove(name);
        side.clusters.remove(name);
    }
}

/// Who an object of a side belongs to: the label, or nothing.
fn owner(side: &Snapshot, kind: ObjectKind, name: &str) -> Option<String> {
    fn find<K: Kind>(objects: &[K], name: &str) -> Option<String> {
        let object = objects.iter().find(|object| object.metadata().name.as_deref() == Some(name))?;
        label(object.metadata(), keys::CLUSTER_ID_LABEL).map(str::to_owned)
    }
    match kind {
        ObjectKind::Cluster => find(&side.clusters, name),
        ObjectKind::Endpoint => find(&side.endpoints, name),
    }
}

fn target(change: &Change) -> (ObjectKind, String) {
    match change {
        Change::Write(Object::Cluster(cluster)) => {
            (ObjectKind::Cluster, cluster.metadata.name.clone().unwrap())
        }
        Change::Write(Object::Endpoint(endpoint)) => {
            (ObjectKind::Endpoint, endpoint.metadata.name.clone().unwrap())
        }
        Change::Delete(target) => (target.kind, target.name.clone()),
    }
}

/// Nothing on the hub but our own is touched; copies go only on positive evidence.
fn check_ownership(member: &Member, hub: &Side) {
    let decided = member.plan(hub);
    let own = member.own.cluster.as_str();
    for change in &decided.hub {
        let (kind, name) = target(change);
        let owner = owner(&hub.snapshot(), kind, &name);
        assert!(
            owner.is_none() || owner.as_deref() == Some(own),
            "{own} touches {name} of {owner:?} on the hub"
        );
    }
    if member.own.publication == Publication::Withdraw {
        return;
    }
    let home = member.home.snapshot();
    for change in decided.home.iter().filter(|change| matches!(change, Change::Delete(_))) {
        let (kind, name) = target(change);
        let copy = owner(&home, kind, &name).is_some();
        assert!(!copy || decided.trust == HubTrust::Confirmed, "{own} deletes {name} without proof");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_history_settles_in_three_rounds_and_touches_only_ours(events in prop::collection::vec(event(), 0..25)) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
            for member in &world.members {
                check_ownership(member, &world.hub);
            }
        }
        for member in &mut world.members {
            member.settle(&mut world.hub);
            prop_assert!(member.plan(&world.hub).is_settled());
        }
        settle_all(&mut world.members, &mut world.hub);
    }

    #[test]
    fn the_order_of_objects_does_not_matter(
        events in prop::collection::vec(event(), 0..15),
        seed in any::<u64>(),
    ) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        for member in &world.members {
            let (mut hub, mut home) = (world.hub.snapshot(), member.home.snapshot());
            let straight = plan(&hub, &home, &member.own);
            for side in [&mut hub, &mut home] {
                shuffle(&mut side.clusters, seed);
                shuffle(&mut side.endpoints, seed);
            }
            prop_assert_eq!(&plan(&hub, &home, &member.own), &straight);
            hub.completeness = Completeness::Partial;
            let partial = plan(&hub, &home, &member.own);
            if member.own.publication != Publication::Withdraw {
                prop_assert!(partial.hub.is_empty() && partial.marks.is_empty());
            }
        }
    }

    #[test]
    fn losses_of_the_hub_never_cost_a_member(
        losses in prop::collection::vec(prop_oneof![Just(Event::Empty), Just(Event::Restore), (0..3_usize).prop_map(Event::Round)], 1..20),
        takeover in (0..3_usize, 1..9_u8),
    ) {
        let mut world = World::new();
        world.publish(takeover.0, takeover.1);
        settle_all(&mut world.members, &mut world.hub);
        let expected: Vec<Vec<String>> = world.members.iter().map(copies).collect();
        for event in &losses {
            world.happen(event);
            let now: Vec<Vec<String>> = world.members.iter().map(copies).collect();
            prop_assert_eq!(&now, &expected, "after {:?}", event);
        }
        settle_all(&mut world.members, &mut world.hub);
        let now: Vec<Vec<String>> = world.members.iter().map(copies).collect();
        prop_assert_eq!(&now, &expected);
        prop_assert_eq!(world.hub.endpoints.len(), 3);
    }
}

fn copies(member: &Member) -> Vec<String> {
    member.copies().into_iter().map(str::to_owned).collect()
}

fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for index in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let other = usize::try_from(state >> 33).unwrap_or(0) % (index + 1);
        items.swap(index, other);
    }
}
