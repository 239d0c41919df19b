//! Figures under the names of the Go implementation, and some of our own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use subm_api::connection::Connection;
use subm_api::endpoint::AddressField;
use subm_runtime::Report;
use subm_sync::Publication;
use subm_types::Family;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::publish::{Feeds, Known};
use crate::status::{Sources, Traffic};

/// Counts the rounds of the Gateway object's writer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Iterations(Arc<AtomicU64>);

impl Iterations {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads what is known whenever somebody asks.
#[derive(Debug)]
struct Figures {
    feeds: Feeds,
    iterations: Iterations,
}

#[expect(clippy::struct_field_names, reason = "COMPAT: labels take their names from the fields")]
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Cable {
    cable_driver: String,
    local_cluster: String,
    local_hostname: String,
    local_endpoint_ip: String,
    remote_cluster: String,
    remote_hostname: String,
    remote_endpoint_ip: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CableStatus {
    cable_driver: String,
    local_cluster: String,
    local_hostname: String,
    local_endpoint_ip: String,
    remote_cluster: String,
    remote_hostname: String,
    remote_endpoint_ip: String,
    status: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct ShortStatus {
    cable_driver: String,
    status: String,
}

/// Adds the figures to a registry, and gives the histogram of how long a change takes to reach the kernel.
pub(crate) fn register(registry: &mut Registry, feeds: Feeds, iterations: Iterations) -> Histogram {
    let latency = Histogram::new(exponential_buckets(0.001, 2.0, 14));
    let help = "Seconds from a changed plan to a kernel that is what it says";
    registry.register("submariner_gateway_reconcile_seconds", help, latency.clone());
    registry.register_collector(Box::new(Figures { feeds, iterations }));
    latency
}

/// Times the way of each new plan into the kernel: what the kernel was found to be for an earlier one does not count.
pub(crate) async fn time_plans(
    mut generation: watch::Receiver<u64>,
    mut report: watch::Receiver<Report>,
    latency: Histogram,
) {
    let mut pending: Option<(u64, Instant)> = None;
    loop {
        tokio::select! {
            changed = generation.changed() => match changed {
                Ok(()) => pending = Some((*generation.borrow_and_update(), Instant::now())),
                Err(_) => return,
            },
            changed = report.changed() => if changed.is_err() { return },
        }
        let done = |of: u64| {
            let report = report.borrow();
            report.converged && report.generation >= of
        };
        if let Some((_, begun)) = pending.take_if(|(of, _)| done(*of)) {
            latency.observe(begun.elapsed().as_secs_f64());
        }
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let rounds = ConstCounter::new(self.iterations.0.load(Ordering::Relaxed));
        let name = "submariner_gateway_sync_iterations";
        let help = "Rounds of the Gateway object's writer";
        rounds.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        let Some(known) = self.feeds.known.borrow().clone() else { return Ok(()) };
        encode_own(&known, &mut encoder)?;
        self.encode_connections(&known, &mut encoder)
    }
}

fn encode_own(known: &Known, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let epoch = match &known.outcome.publication {
        Publication::Publish(published) => published.endpoints.first().map(|endpoint| endpoint.epoch.0),
        Publication::Hold | Publication::Withdraw => None,
    };
    let problems = u32::try_from(known.outcome.problems.len()).unwrap_or(u32::MAX);
    let gauges = [
        (
            "submariner_gateway_epoch",
            "Takeovers of the gateway, as published by this one",
            epoch.unwrap_or(0),
        ),
        ("submariner_gateway_problems", "Inputs that cannot be used", u64::from(problems)),
    ];
    for (name, help, value) in gauges {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    Ok(())
}

impl Figures {
    fn encode_connections(
        &self,
        known: &Known,
        encoder: &mut DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        let (report, probes) = (self.feeds.report.borrow().clone(), self.feeds.probes.borrow().clone());
        let evidence = self.feeds.evidence.borrow().clone();
        let ipsec = self.feeds.ipsec.borrow().clone();
        let sources = Sources {
            view: &known.view,
            outcome: &known.outcome,
            report: &report,
            probes: &probes,
            evidence: &evidence,
            ipsec: &ipsec,
        };
        let connections = sources.connections();
        let labelled: Vec<(Cable, &Connection)> = connections
            .iter()
            .zip(sources.families())
            .map(|(connection, family)| (cable(known, connection, family), connection))
            .collect();
        let name = "submariner_connections";
        let mut family =
            encoder.encode_descriptor(name, "1 for each cable and its status", None, MetricType::Gauge)?;
        let mut counts: BTreeMap<ShortStatus, i64> = BTreeMap::new();
        for (cable, connection) in &labelled {
            let labels = with_status(cable, connection);
            let short =
                ShortStatus { cable_driver: labels.cable_driver.clone(), status: labels.status.clone() };
            *counts.entry(short).or_default() += 1;
            ConstGauge::new(1_i64).encode(family.encode_family(&labels)?)?;
        }
        let name = "submariner_connections_short";
        let mut family = encoder.encode_descriptor(name, "Cables by status", None, MetricType::Gauge)?;
        for (labels, count) in counts {
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
        let name = "submariner_connection_latency_seconds";
        let mut family =
            encoder.encode_descriptor(name, "The last round-trip time", None, MetricType::Gauge)?;
        for (cable, connection) in &labelled {
            let last = connection.latency_rtt.as_ref().and_then(|latency| latency.last);
            let Some(last) = last else { continue };
            ConstGauge::new(last.to_std().as_secs_f64()).encode(family.encode_family(cable)?)?;
        }
        let name = "submariner_connection_established_timestamp";
        let help = "Since when the cable is planned, in Unix seconds";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((cable, _), since) in labelled.iter().zip(known.established.values()) {
            ConstGauge::new(*since).encode(family.encode_family(cable)?)?;
        }
        encode_bytes(&labelled, &sources.traffic(), encoder)
    }
}

/// What went through the cables, for drivers that count.
fn encode_bytes(
    labelled: &[(Cable, &Connection)],
    traffic: &[Option<Traffic>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), std::fmt::Error> {
    type Count = fn(&Traffic) -> u64;
    let gauges: [(&str, &str, Count); 2] = [
        ("submariner_gateway_rx_bytes", "Bytes received through the cable", |traffic| traffic.received),
        ("submariner_gateway_tx_bytes", "Bytes sent through the cable", |traffic| traffic.sent),
    ];
    for (name, help, count) in gauges {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for ((cable, _), traffic) in labelled.iter().zip(traffic) {
            let Some(traffic) = traffic else { continue };
            let bytes = i64::try_from(count(traffic)).unwrap_or(i64::MAX);
            ConstGauge::new(bytes).encode(family.encode_family(cable)?)?;
        }
    }
    Ok(())
}

fn cable(known: &Known, connection: &Connection, family: Family) -> Cable {
    let local = known.outcome.own_end.clone().unwrap_or_default();
    // COMPAT: the label is the public address, and empty without one. For IPv6, which came later, it is then the
    // node's own, of the other family if need be, so that the tunnels of both families to one end are told apart.
    let public = |spec: &subm_api::EndpointSpec| {
        let own = || {
            let mut all = [Family::V6, Family::V4].into_iter().filter(|_| family == Family::V6);
            all.find_map(|family| spec.address(AddressField::Private, family))
        };
        spec.address(AddressField::Public, family).or_else(own).unwrap_or_default().to_owned()
    };
    Cable {
        cable_driver: local.backend.clone(),
        local_cluster: local.cluster_id.clone(),
        local_hostname: local.hostname.clone(),
        local_endpoint_ip: public(&local),
        remote_cluster: connection.endpoint.cluster_id.clone(),
        remote_hostname: connection.endpoint.hostname.clone(),
        remote_endpoint_ip: public(&connection.endpoint),
    }
}

fn with_status(cable: &Cable, connection: &Connection) -> CableStatus {
    let Cable {
        cable_driver,
        local_cluster,
        local_hostname,
        local_endpoint_ip,
        remote_cluster,
        remote_hostname,
        remote_endpoint_ip,
    } = cable.clone();
    let status = connection.status.as_str().to_owned();
    CableStatus {
        cable_driver,
        local_cluster,
        local_hostname,
        local_endpoint_ip,
        remote_cluster,
        remote_hostname,
        remote_endpoint_ip,
        status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_plan_is_timed_until_the_kernel_is_what_that_plan_says() {
        let mut registry = Registry::default();
        let latency = Histogram::new([1.0]);
        registry.register("seconds", "Seconds", latency.clone());
        let counted = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text.lines().find_map(|line| line.strip_prefix("seconds_count ")?.parse::<u64>().ok()).unwrap()
        };
        let (plan, generation) = watch::channel(1);
        let earlier = Report { generation: 1, converged: true, ..Report::default() };
        let (tell, report) = watch::channel(earlier.clone());
        let timing = tokio::spawn(time_plans(generation, report, latency));
        plan.send(2).unwrap();
        tell.send(Report { taken: 1, ..earlier.clone() }).unwrap();
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(counted(), 0);
        tell.send(Report { generation: 2, ..earlier }).unwrap();
        drop(tell);
        timing.await.unwrap();
        assert_eq!(counted(), 1);
    }
}
