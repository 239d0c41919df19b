//! A gateway that is restarted under a connection.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use subm_lab::ECHO_PORT;
use subm_lab::traffic::StreamRun;

use crate::crash::kill;
use crate::record::{Bound, Record};
use crate::samples::Samples;
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench = Bench {
    name: "restart",
    about: "how long a connection stands still while a gateway with a wireguard cable is killed and started again",
    run,
};

const RESTARTS: usize = 20;
const BEFORE: Duration = Duration::from_millis(300);
/// Each gateway has its turn after twice this time. One that lived less than ten seconds would be started again after
/// a longer pause each time, and the pause be measured.
const AFTER: Duration = Duration::from_millis(5400);
const GATEWAYS: [&str; 2] = ["east/gateway/gateway", "west/gateway/gateway"];

fn run(programs: &Programs) -> Result<Vec<Record>> {
    let playground = programs.playground(&["--cable-driver", "wireguard"])?;
    let host = playground.host("east-worker-pod-1")?;
    let to = SocketAddr::new(IpAddr::from([10, 2, 1, 2]), ECHO_PORT);
    let (mut gaps, mut broken) = (Vec::new(), 0_u32);
    for gateway in GATEWAYS.iter().cycle().take(RESTARTS) {
        let stream = StreamRun::start(&host, to)?;
        thread::sleep(BEFORE);
        kill(&playground, gateway)?;
        thread::sleep(AFTER);
        let report = stream.stop()?;
        broken += u32::from(report.broken.is_some());
        gaps.push(report.longest_stall);
    }
    playground.down()?;
    let gaps = Samples::of_milliseconds(gaps).context("nothing was measured")?;
    Ok(vec![
        Record::new("restart/gap-median", gaps.median(), "ms"),
        Record::new("restart/gap-p90", gaps.percentile(90), "ms"),
        Record::new("restart/gap-max", gaps.max(), "ms"),
        Record::new("restart/broken", f64::from(broken), "count")
            .asks(Bound::AtMost(0.0), format!("each of {RESTARTS} connections survives")),
    ])
}
