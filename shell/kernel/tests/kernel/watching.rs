//! What wakes a daemon, and what does not.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use subm_kernel::{Kernel, Wake, Watcher};

use crate::ground::{converge, foreign, in_fresh_namespace, observe, plan, reach, scope};

fn changed_within(wakes: &Receiver<Wake>, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while let Ok(wake) = wakes.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if wake != Wake::Tick {
            return true;
        }
    }
    false
}

#[test]
fn every_kind_of_change_wakes() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        let (sender, wakes) = channel();
        let _watcher = Watcher::start(&scope(), move |wake| sender.send(wake).unwrap_or(())).unwrap();
        for edit in [
            "ip link set subm0 mtu 1300",
            "ip address add 240.0.0.9/8 dev subm0",
            "bridge fdb append 00:00:00:00:00:00 dev subm0 dst 10.0.0.9 self permanent",
            "ip neighbour del 240.0.0.2 dev subm0",
            "ip rule del preference 101",
            "ip route flush table 1001",
            "ip -6 route flush table 101",
            "nft flush ruleset",
        ] {
            foreign(edit);
            assert!(changed_within(&wakes, Duration::from_secs(10)), "{edit}");
            converge(&mut kernel, &plan());
            while wakes.recv_timeout(Duration::from_millis(50)).is_ok() {}
        }
    });
}

#[test]
fn what_concerns_others_does_not_wake() {
    in_fresh_namespace(|| {
        foreign(
            "ip link add theirs type bridge; ip link set theirs up; ip address add 172.30.0.1/24 dev theirs",
        );
        std::thread::sleep(Duration::from_millis(100));
        let (sender, wakes) = channel();
        let _watcher = Watcher::start(&scope(), move |wake| sender.send(wake).unwrap_or(())).unwrap();
        foreign(
            "nft add table inet theirs; nft add chain inet theirs c; ip route add 172.29.0.0/16 dev theirs; \
             ip neighbour add 172.30.0.2 lladdr 02:00:00:00:00:01 dev theirs nud permanent",
        );
        assert!(!changed_within(&wakes, Duration::from_millis(300)));
    });
}

#[test]
fn time_wakes_too_and_the_thread_ends() {
    in_fresh_namespace(|| {
        let (sender, wakes) = channel();
        let kernel = Kernel::watched(&scope(), move |wake| sender.send(wake).unwrap_or(())).unwrap();
        for _ in 0..3 {
            assert_eq!(wakes.recv_timeout(Duration::from_secs(10)), Ok(Wake::Tick));
        }
        drop(kernel);
        // The thread owned the sender: it has ended, or this would wait for ever.
        assert!(wakes.into_iter().count() < 100);
    });
}

#[test]
fn lost_notifications_make_everything_be_read_again() {
    in_fresh_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        reach(&mut kernel, &plan());
        foreign(
            "ip address add 240.0.0.9/8 dev subm0; for i in $(seq 0 39); do for j in $(seq 0 249); do \
             echo route add 10.$((100 + i)).$j.0/24 dev subm-br table 7 proto 90; done; done | ip -batch -",
        );
        let state = observe(&mut kernel, &plan());
        assert_eq!(state.own.routes.len(), plan().routes.len() + 10_000);
        assert_eq!(state.own.addresses.len(), plan().addresses.len() + 1);
        foreign("ip route flush table 7; ip address del 240.0.0.9/8 dev subm0");
        assert_eq!(observe(&mut kernel, &plan()).own.routes.len(), plan().routes.len());
    });
}
