//! What the node's way to other clusters looks like in figures.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use subm_probe::{Probe, Verdict};
use subm_runtime::ObjectKind;
use subm_runtime::icmp::Probes;
use subm_types::CableId;
use tokio::sync::watch;

use crate::observed::{Seen, objects};
use crate::view::State;

type Figure = fn(&Probe) -> Option<f64>;

/// Where the figures come from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) state: watch::Receiver<State>,
    pub(crate) seen: watch::Receiver<Seen>,
    pub(crate) probes: watch::Receiver<Probes<CableId>>,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cable {
    remote_cluster: String,
    path: String,
    family: String,
}

/// Adds the figures to a registry, and gives the histogram of how long a change takes to reach the kernel.
pub(crate) fn register(registry: &mut Registry, sources: Sources) -> Histogram {
    let latency = Histogram::new(exponential_buckets(0.001, 2.0, 14));
    let help = "Seconds from a changed plan to a kernel that is what it says";
    registry.register("submariner_route_agent_reconcile_seconds", help, latency.clone());
    registry.register_collector(Box::new(sources));
    latency
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let outlook = self.state.borrow().outlook.clone();
        let desired = outlook.as_ref().map(|outlook| objects(&outlook.plan.node)).unwrap_or_default();
        let found = self.seen.borrow().objects.clone();
        let counts = [
            ("submariner_route_agent_desired_objects", "Kernel objects that the plan has", desired),
            ("submariner_route_agent_programmed_objects", "Kernel objects of ours that are there", found),
        ];
        for (name, help, counts) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for kind in ObjectKind::ALL {
                let count = counts.get(&kind).copied().unwrap_or(0);
                let gauge = ConstGauge::new(u32::try_from(count).unwrap_or(u32::MAX));
                gauge.encode(family.encode_family(&Kind { kind: kind.as_str() })?)?;
            }
        }
        let problems = outlook.map_or(0, |outlook| outlook.problems.len());
        let help = "Inputs that had to be left out of the plan";
        let gauge = ConstGauge::new(u32::try_from(problems).unwrap_or(u32::MAX));
        gauge.encode(encoder.encode_descriptor(
            "submariner_route_agent_problems",
            help,
            None,
            MetricType::Gauge,
        )?)?;
        self.encode_probes(&mut encoder)
    }
}

impl Sources {
    fn encode_probes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let probes = self.probes.borrow().clone();
        let figures: [(&str, &str, Figure); 3] = [
            ("submariner_route_agent_probe_alive", "1 while probes are answered", |probe| {
                Some(f64::from(u8::from(probe.verdict == Verdict::Alive)))
            }),
            ("submariner_route_agent_probe_losses", "Probes sent since the last answer", |probe| {
                Some(f64::from(probe.unanswered))
            }),
            ("submariner_route_agent_probe_rtt_seconds", "The last round-trip time", |probe| {
                probe.latency.map(|latency| latency.last.as_secs_f64())
            }),
        ];
        for (name, help, figure) in figures {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            let known = probes.paths.iter().filter_map(|(cable, probe)| Some((cable, figure(probe)?)));
            for (cable, value) in known {
                ConstGauge::new(value).encode(family.encode_family(&Cable::of(cable))?)?;
            }
        }
        Ok(())
    }
}

impl Cable {
    fn of(cable: &CableId) -> Self {
        Self {
            remote_cluster: cable.cluster.to_string(),
            path: cable.path.to_string(),
            family: cable.family.to_string(),
        }
    }
}
