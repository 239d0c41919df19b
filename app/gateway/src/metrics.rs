//! Figures under the names of the Go implementation, and some of our own.

mod catalogue;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use subm_api::Gateway;
use subm_api::connection::Connection;
use subm_api::endpoint::AddressField;
use subm_kube::Objects;
use subm_runtime::Report;
use subm_sync::Publication;
use subm_types::Family;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::carrier;
use crate::publish::{Feeds, Known};
use crate::status::{CableState, Sources, Traffic};
use crate::view::Leadership;
use catalogue::Figure;

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

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfGateway {
    local_cluster: String,
    local_hostname: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, PartialOrd, Ord, EncodeLabelSet)]
struct Requested {
    local_cluster: String,
    local_hostname: String,
    remote_cluster: String,
    remote_hostname: String,
    status: String,
}

/// Adds the figures to a registry, and gives the histogram of how long a change takes to reach the kernel.
pub(crate) fn register(registry: &mut Registry, feeds: Feeds, iterations: Iterations) -> Histogram {
    let latency = Histogram::new(exponential_buckets(0.001, 2.0, 14));
    registry.register(catalogue::RECONCILE.name, catalogue::RECONCILE.help, latency.clone());
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
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut page = Page(encoder);
        let rounds = i64::try_from(self.iterations.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        page.write_one(&catalogue::SYNC_ITERATIONS, rounds)?;
        let Some(known) = self.feeds.known.borrow().clone() else { return Ok(()) };
        encode_own(&known, &mut page)?;
        if known.view.leadership == Leadership::Ours {
            encode_gateways(&known, &self.feeds.gateways.borrow(), &mut page)?;
        }
        self.encode_cables(&known, &mut page)
    }
}

/// Where figures are written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// COMPAT: gauges, also where it is counted: a counter's name gets a suffix that the Go implementation's has not.
    fn write_one(&mut self, figure: &Figure, value: i64) -> Result<(), std::fmt::Error> {
        let encoder = self.0.encode_descriptor(figure.name, figure.help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    fn write<L, V>(
        &mut self,
        figure: &Figure,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> Result<(), std::fmt::Error>
    where
        L: EncodeLabelSet,
        ConstGauge<V>: EncodeMetric,
    {
        let mut family = self.0.encode_descriptor(figure.name, figure.help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            let gauge = ConstGauge::new(value);
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn encode_own(known: &Known, page: &mut Page<'_>) -> Result<(), std::fmt::Error> {
    let epoch = match &known.outcome.publication {
        Publication::Publish(published) => published.endpoints.first().map(|endpoint| endpoint.epoch.0),
        Publication::Hold | Publication::Withdraw => None,
    };
    let epoch = i64::try_from(epoch.unwrap_or(0)).unwrap_or(i64::MAX);
    let problems = i64::try_from(known.outcome.problems.len()).unwrap_or(i64::MAX);
    page.write_one(&catalogue::EPOCH, epoch)?;
    page.write_one(&catalogue::PROBLEMS, problems)?;
    match carrier::in_kernel(&known.outcome) {
        Some(yes) => page.write_one(&catalogue::WIREGUARD_IN_KERNEL, i64::from(yes)),
        None => Ok(()),
    }
}

/// What the Gateways of the cluster say, told by one of them.
fn encode_gateways(
    known: &Known,
    gateways: &Objects<Gateway>,
    page: &mut Page<'_>,
) -> Result<(), std::fmt::Error> {
    let count = i64::try_from(gateways.all().len()).unwrap_or(i64::MAX);
    page.write_one(&catalogue::GATEWAYS, count)?;
    let local_cluster = known.view.config.cluster.to_string();
    let of = |gateway: &Gateway| OfGateway {
        local_cluster: local_cluster.clone(),
        local_hostname: gateway.status.local_endpoint.hostname.clone(),
    };
    let created = gateways.values().filter_map(|gateway| {
        let time = gateway.metadata.creation_timestamp.as_ref()?;
        Some((of(gateway), time.0.as_second()))
    });
    page.write(&catalogue::CREATED, created)?;
    let requested = gateways.values().flat_map(|gateway| {
        let OfGateway { local_cluster, local_hostname } = of(gateway);
        gateway.status.connections.iter().map(move |connection| Requested {
            local_cluster: local_cluster.clone(),
            local_hostname: local_hostname.clone(),
            remote_cluster: connection.endpoint.cluster_id.clone(),
            remote_hostname: connection.endpoint.hostname.clone(),
            status: connection.status.as_str().to_owned(),
        })
    });
    // Two tunnels to one end differ in nothing but their family, which has no label there.
    let requested: BTreeSet<Requested> = requested.collect();
    page.write(&catalogue::REQUESTED, requested.into_iter().map(|labels| (labels, 1_i64)))
}

impl Figures {
    fn encode_cables(&self, known: &Known, page: &mut Page<'_>) -> Result<(), std::fmt::Error> {
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
        let cables: Vec<Told> = sources
            .cables()
            .into_iter()
            .map(|(id, state)| {
                let since = known.established.get(&id).copied();
                Told { labels: cable(known, &state.connection, id.family), state, since }
            })
            .collect();
        encode_statuses(&cables, page)?;
        let latency = |told: &Told| {
            let last = told.state.connection.latency_rtt.as_ref()?.last?;
            Some((told.labels.clone(), last.to_std().as_secs_f64()))
        };
        page.write(&catalogue::LATENCY, cables.iter().filter_map(latency))?;
        let since = |told: &Told| Some((told.labels.clone(), told.since?));
        page.write(&catalogue::ESTABLISHED, cables.iter().filter_map(since))?;
        let counts: [(&Figure, Count); 2] =
            [(&catalogue::RECEIVED, |traffic| traffic.received), (&catalogue::SENT, |traffic| traffic.sent)];
        for (figure, count) in counts {
            let bytes = |told: &Told| {
                let bytes = count(told.state.traffic.as_ref()?);
                Some((told.labels.clone(), i64::try_from(bytes).unwrap_or(i64::MAX)))
            };
            page.write(figure, cables.iter().filter_map(bytes))?;
        }
        let handshake = |told: &Told| {
            let age = told.state.handshake?;
            Some((told.labels.clone(), age.as_secs_f64()))
        };
        page.write(&catalogue::HANDSHAKE_AGE, cables.iter().filter_map(handshake))
    }
}

/// Takes a figure from what a driver counts.
type Count = fn(&Traffic) -> u64;

/// One cable with its labels.
struct Told {
    labels: Cable,
    state: CableState,
    since: Option<i64>,
}

fn encode_statuses(cables: &[Told], page: &mut Page<'_>) -> Result<(), std::fmt::Error> {
    let statuses: Vec<CableStatus> =
        cables.iter().map(|told| with_status(&told.labels, &told.state.connection)).collect();
    let mut counts: BTreeMap<ShortStatus, i64> = BTreeMap::new();
    for CableStatus { cable_driver, status, .. } in &statuses {
        let short = ShortStatus { cable_driver: cable_driver.clone(), status: status.clone() };
        *counts.entry(short).or_default() += 1;
    }
    page.write(&catalogue::CONNECTIONS, statuses.into_iter().map(|labels| (labels, 1_i64)))?;
    page.write(&catalogue::CONNECTIONS_SHORT, counts)
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
#[path = "metrics_tests.rs"]
mod tests;
