//! Wires that lose, delay and reorder packets, by the kernel's own netem.

use std::time::Duration;

use crate::ground::{Ground, eventually};
use crate::{connection, connections};

/// What a gateway's object said while a wire was bad.
fn told(ground: &Ground, span: Duration) -> Vec<String> {
    let end = std::time::Instant::now() + span;
    let mut all = Vec::new();
    while std::time::Instant::now() < end {
        let object = ground.gateway_object("east", 1);
        let said = object.as_ref().and_then(connection).unwrap_or("nothing").to_owned();
        if all.last() != Some(&said) {
            all.push(said);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    all
}

#[test]
fn loss_delay_and_reordering_are_no_failure() {
    Ground::run(|ground| {
        let east = ground.gateway("east", 1);
        let west = ground.gateway("west", 1);
        eventually("packets pass", || east.ping(&west).ok());
        eventually("connected", || {
            (connections(&ground.gateway_object("east", 1)?)? == ["172.31.0.21 connected"]).then_some(())
        });
        for wire in [
            "loss 5%",
            "delay 80ms 30ms distribution normal",
            "delay 20ms reorder 25% 50%",
            "duplicate 10%",
            "loss 5% delay 50ms 20ms reorder 10%",
        ] {
            for gateway in [&east, &west] {
                gateway.listing(&format!("tc qdisc replace dev eth0 root netem {wire}"));
            }
            let said = told(ground, Duration::from_secs(8));
            println!("{wire}: {said:?}");
            assert_eq!(said, ["connected"], "{wire}");
        }
    });
}
