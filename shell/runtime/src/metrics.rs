//! What the converger did, as metrics.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
pub use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::{Converger, ObjectKind, Report};

/// Reads the report whenever somebody asks for the metrics.
#[derive(Debug)]
struct Convergence(watch::Receiver<Report>);

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// Adds what a converger did to a registry: drift repaired by kind, steps taken and failed, looks and how long
/// the last one took.
pub fn register(registry: &mut Registry, converger: &Converger) {
    register_report(registry, converger.report());
}

/// The same of a report from wherever.
pub fn register_report(registry: &mut Registry, report: watch::Receiver<Report>) {
    registry.register_collector(Box::new(Convergence(report)));
}

impl Collector for Convergence {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let report = self.0.borrow().clone();
        {
            let help = "Steps that put back what somebody else changed";
            let counter = ConstCounter::new(0_u64);
            let mut family =
                encoder.encode_descriptor("submariner_drift_repaired", help, None, counter.metric_type())?;
            for kind in ObjectKind::ALL {
                let count = ConstCounter::new(report.drift.get(&kind).copied().unwrap_or(0));
                count.encode(family.encode_family(&Kind { kind: kind.as_str() })?)?;
            }
        }
        let counters = [
            ("submariner_converge_steps", "Steps taken", report.taken),
            ("submariner_converge_looks", "How often the kernel was compared with the plan", report.looks),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let failures = u32::try_from(report.failures.len()).unwrap_or(u32::MAX);
        let gauges = [
            (
                "submariner_converged",
                "1 when the kernel is what the plan says",
                f64::from(u8::from(report.converged)),
            ),
            ("submariner_converge_failures", "Steps that fail at present", f64::from(failures)),
            ("submariner_converge_seconds", "How long the last look took", report.duration.as_secs_f64()),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn report_is_read_when_metrics_are_asked_for() {
        let mut report = Report { taken: 12, looks: 3, converged: true, ..Report::default() };
        report.duration = Duration::from_millis(5);
        report.drift.insert(ObjectKind::Route, 4);
        let (_keep, receiver) = watch::channel(report);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Convergence(receiver)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "submariner_drift_repaired_total{kind=\"route\"} 4",
            "submariner_drift_repaired_total{kind=\"link\"} 0",
            "submariner_converge_steps_total 12",
            "submariner_converged 1",
            "submariner_converge_seconds 0.005",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
