//! WireGuard in userspace, between two gateways: ours against the others'.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};

use crate::contest::{Contender, Rounds, Score, interleave};
use crate::load::Load;
use crate::peers::{DEBIAN, GOTATUN, NEWEST, Peer};
use crate::record::{Bound, Record};
use crate::tunnel::{Carrier, Told, Tunnel, bare, in_own_ground};
use crate::{Bench, Programs, engine};

pub(crate) const BENCH: Bench = Bench {
    name: "wireguard",
    about: "between two gateways: WireGuard of this process against gotatun-cli and wireguard-go",
    run,
};

const OURS: &str = "submariner";
const PEERS: [&Peer; 3] = [&GOTATUN, &DEBIAN, &NEWEST];
const LOADS: [Load; 3] = [Load::Streams(1), Load::Streams(4), Load::Requests];

/// A peer that cannot be compared with, and why.
type Absent = (&'static str, String);

fn run(_: &Programs) -> Result<Vec<Record>> {
    // Before the ground of its own, in which the cache is not sought.
    let mut absent = Vec::new();
    let mut carriers = vec![engine::carrier(OURS)?];
    for peer in PEERS {
        match peer.program() {
            Ok(program) => carriers.push(carrier(peer, program)),
            Err(error) => absent.push((peer.name, format!("{error:#}"))),
        }
    }
    in_own_ground(move || contest(&carriers, absent))
}

fn carrier(peer: &Peer, program: PathBuf) -> Carrier {
    Carrier { name: peer.name, program, told: Told::OverItsSocket(peer.arguments) }
}

fn contest(carriers: &[Carrier], mut absent: Vec<Absent>) -> Result<Vec<Record>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut tunnels = Vec::new();
    for carrier in carriers {
        match runtime.block_on(Tunnel::join(carrier)) {
            Ok(tunnel) => tunnels.push(tunnel),
            Err(error) if carrier.name == OURS => return Err(error),
            Err(error) => absent.push((carrier.name, format!("{error:#}"))),
        }
    }
    let wire = runtime.block_on(bare("wire")).context("a wire between two hosts")?;
    let contenders: Vec<Contender> =
        tunnels.iter().map(|tunnel| tunnel.contender.clone()).chain([wire]).collect();
    let mut standings = Vec::new();
    let mut records = Vec::new();
    for (load, outcomes) in interleave(&contenders, &LOADS, Rounds::MEDIANS) {
        let mut standing = Standing { load, scores: Vec::new(), absent: absent.clone() };
        for (contender, outcome) in contenders.iter().zip(outcomes) {
            match (outcome, PEERS.iter().find(|peer| peer.name == contender.name)) {
                (Ok(score), _) => standing.scores.push(score),
                (Err(error), Some(peer)) => standing.absent.push((peer.name, format!("{error:#}"))),
                (Err(error), None) => return Err(error),
            }
        }
        records.extend(standing.scores.iter().flat_map(|score| score.records("wireguard", load)));
        standings.push(standing);
    }
    records.extend(verdicts(&standings)?);
    Ok(records)
}

/// Who reached what under one load.
struct Standing {
    load: Load,
    scores: Vec<Score>,
    absent: Vec<Absent>,
}

impl Standing {
    fn of(&self, name: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.name == name)
    }

    /// Ours beside the best of some peers. Those that are absent are named; where all are, it is skipped.
    fn against(&self, figure: &str, peers: &[&Peer], least: f64) -> Result<Record> {
        let name = format!("wireguard/{figure}");
        let ours = self.of(OURS).context("ours was not measured")?;
        let rate = |score: &&Score| score.rate.median();
        let best = peers.iter().filter_map(|peer| self.of(peer.name));
        let best = best.max_by(|one, other| rate(one).total_cmp(&rate(other)));
        let listed = peers.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
        let words = format!("≥ {least} × the best of {listed}, medians of {}", Rounds::MEDIANS.count);
        let absent = self.absent.iter().filter(|(name, _)| peers.iter().any(|peer| peer.name == *name));
        let reasons = absent.map(|(_, reason)| reason.as_str()).collect::<Vec<_>>().join("; ");
        Ok(match best {
            None => Record::new(name, ours.rate.median(), self.load.unit()).skipped(&words, &reasons),
            Some(best) if reasons.is_empty() => {
                let words = format!("{words}: {}", best.name);
                ours.against(name, best, self.load)?.asks_ratio(Bound::AtLeast(least), words)
            }
            // The best of those that are there may not be the best of all.
            Some(best) => {
                let record = ours.against(name, best, self.load)?.asks_ratio(Bound::AtLeast(least), words);
                let words =
                    format!("{} (beside {} only)", record.target.clone().unwrap_or_default(), best.name);
                if record.holds == Some(false) { record } else { record.skipped(&words, &reasons) }
            }
        })
    }
}

fn verdicts(standings: &[Standing]) -> Result<Vec<Record>> {
    let [one, four, requests] = standings else { return Err(anyhow!("a load was not measured")) };
    let (Some(one_flow), Some(four_flows)) = (one.of(OURS), four.of(OURS)) else {
        return Err(anyhow!("ours was not measured"));
    };
    let least = 0.95;
    Ok(vec![
        one.against("one-flow", &[&GOTATUN, &DEBIAN], 4.0)?,
        one.against("one-flow-and-newest", &[&NEWEST], 1.0)?,
        four_flows
            .against("wireguard/four-flows", one_flow, four.load)?
            .asks_ratio(Bound::AtLeast(least), format!("≥ {least} × one flow of ours")),
        requests.against("requests", &PEERS, 1.0)?,
    ])
}
