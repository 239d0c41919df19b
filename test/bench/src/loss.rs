//! TCP through both cables over an uplink that loses packets, against bare TCP over the same uplink.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use subm_e2e::Playground;

use crate::contest::{Contender, Rounds, Score, interleave};
use crate::load::{Load, Way, Window};
use crate::record::{Bound, Record};
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench = Bench {
    name: "loss",
    about: "TCP through each cable over a line of 200 Mbit/s that loses 5 %, against bare TCP between the gateways",
    run,
};

/// Of one uplink, in each direction.
const LOSS: &str = "east=5%";
const BOUND: f64 = 0.9;
/// As fast as a good line to the internet. Without a limit the uplink is as fast as the processors, and what is compared
/// is these and the length of the way through them, not what loss does to TCP.
const RATE: &str = "east=200mbit";
/// It stands still for a fifth of a second whenever what it sends again is lost again, which takes seconds to even out.
const LOAD: Load = Load::Streams(1);
const ROUNDS: Rounds = Rounds {
    count: 9,
    window: Window { warm_up: Duration::from_millis(500), measured: Duration::from_secs(3) },
};

/// The wire lies between the routers of the clusters, and on it every packet is one segment: what is lost is lost by
/// the datagram, for a cable as for bare TCP.
fn run(programs: &Programs) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for driver in ["vxlan", "wireguard"] {
        let playground = programs.playground(&[
            "--cable-driver",
            driver,
            "--loss",
            LOSS,
            "--rate",
            RATE,
            "--workers",
            "0",
        ])?;
        let contenders = [cable(driver, &playground)?, bare(&playground)?];
        let outcomes = interleave(&contenders, &[LOAD], ROUNDS).into_iter().flat_map(|(_, scores)| scores);
        let scores = outcomes.collect::<Result<Vec<Score>>>()?;
        let [ours, bare] = &scores[..] else { unreachable!("two were measured") };
        // What the generators alone cost says nothing here.
        let figures = scores.iter().flat_map(|score| score.records(&format!("loss/{driver}"), LOAD));
        records.extend(figures.filter(|record| !record.name.ends_with("/cpu")));
        let words = format!("≥ {BOUND} × bare TCP over the same uplink, medians of {}", ROUNDS.count);
        records.push(
            ours.against(format!("loss/{driver}"), bare, LOAD)?.asks_ratio(Bound::AtLeast(BOUND), words),
        );
        playground.down()?;
    }
    Ok(records)
}

/// From a pod to one of the other cluster.
fn cable(driver: &str, playground: &Playground) -> Result<Contender> {
    let way = Way {
        from: playground.host("east-gateway-pod-1")?,
        to: playground.host("west-gateway-pod-1")?,
        address: IpAddr::from([10, 2, 0, 2]),
    };
    Ok(Contender { name: driver.to_owned(), way, processes: vec![std::process::id()] })
}

/// From one gateway node to the other, by their own addresses: outside of any cable.
fn bare(playground: &Playground) -> Result<Contender> {
    let way = Way {
        from: playground.host("east-gateway")?,
        to: playground.host("west-gateway")?,
        address: IpAddr::from([172, 31, 2, 10]),
    };
    Ok(Contender { name: "bare".to_owned(), way, processes: vec![std::process::id()] })
}
