//! Daemons that are killed under traffic.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use subm_e2e::{Playground, until};
use subm_lab::ECHO_PORT;
use subm_lab::traffic::{PingRun, StreamRun};

use crate::record::{Bound, Record};
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench =
    Bench { name: "daemon-kill", about: "packets and connections lost while every daemon is killed", run };

const ROUNDS: usize = 3;
const AFTER: Duration = Duration::from_millis(300);
/// Worker to worker, both ways: the longest way that there is.
const PAIRS: [(&str, [u8; 4]); 2] =
    [("east-worker-pod-1", [10, 2, 1, 2]), ("west-worker-pod-1", [10, 1, 1, 2])];

fn run(programs: &Programs) -> Result<Vec<Record>> {
    let playground = programs.playground(&[])?;
    let mut pings = Vec::new();
    let mut streams = Vec::new();
    for (near, far) in PAIRS {
        let host = playground.host(near)?;
        pings.push(PingRun::start(&host, IpAddr::from(far), Duration::from_millis(10))?);
        streams.push(StreamRun::start(&host, SocketAddr::new(IpAddr::from(far), ECHO_PORT))?);
    }
    let mut kills = 0_u32;
    for _ in 0..ROUNDS {
        for daemon in playground.status()?.daemons {
            kill(&playground, &daemon.path)?;
            kills += 1;
            thread::sleep(AFTER);
        }
    }
    let (mut sent, mut lost, mut broken, mut stall) = (0, 0, 0_u32, Duration::ZERO);
    for ping in pings {
        let report = ping.stop()?;
        sent += report.sent;
        lost += report.sent - report.received;
    }
    for stream in streams {
        let report = stream.stop()?;
        broken += u32::from(report.broken.is_some());
        stall = stall.max(report.longest_stall);
    }
    playground.down()?;
    Ok(vec![
        Record::new("daemon-kill/kills", f64::from(kills), "count"),
        Record::new("daemon-kill/packets", f64::from(sent), "count"),
        Record::new("daemon-kill/packets-lost", f64::from(lost), "count").asks(Bound::AtMost(0.0), "0 lost"),
        Record::new("daemon-kill/resets", f64::from(broken), "count").asks(Bound::AtMost(0.0), "0 resets"),
        Record::new("daemon-kill/longest-stall", stall.as_secs_f64() * 1000.0, "ms"),
    ])
}

/// Kills a daemon and waits until it was started again.
pub(crate) fn kill(playground: &Playground, path: &str) -> Result<()> {
    let find = || -> Result<(i32, u32)> {
        let all = playground.status()?.daemons;
        let found = all.iter().find(|daemon| daemon.path == path);
        let running = found.and_then(|daemon| Some((daemon.pid?, daemon.restarts)));
        running.ok_or_else(|| anyhow::anyhow!("{path} does not run"))
    };
    let (pid, restarts) = until("the daemon runs", find)?;
    playground.ask("hub", &["sh", "-c", &format!("kill -9 {pid}")])?;
    until("the daemon runs again", || {
        let (_, now) = find()?;
        ensure!(now > restarts, "{path} was not started again");
        Ok(())
    })
}
