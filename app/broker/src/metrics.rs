//! What the hub tells of itself to whoever measures.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use subm_apiserver::{ApiServer, Store};

/// Reads the server whenever somebody asks.
#[derive(Debug)]
pub(crate) struct OfServer(pub(crate) ApiServer);

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Resource {
    resource: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: String,
}

impl Collector for OfServer {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let store = self.0.store();
        let count = |store: &Store| -> Vec<_> {
            store.kinds().stored().map(|kind| (kind.resource(), store.count(kind))).collect()
        };
        let (counts, version) = store.read(|store| (count(store), store.version()));
        let statistics = self.0.statistics();
        {
            let kind = ConstGauge::new(0_i64);
            let help = "Objects that are stored";
            let mut family =
                encoder.encode_descriptor("submariner_broker_objects", help, None, kind.metric_type())?;
            for (resource, count) in counts {
                let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
                gauge.encode(family.encode_family(&Resource { resource })?)?;
            }
        }
        {
            let kind = ConstCounter::new(0_u64);
            let help = "Requests that were answered";
            let mut family =
                encoder.encode_descriptor("submariner_broker_requests", help, None, kind.metric_type())?;
            for (class, count) in statistics.answers {
                let code = format!("{class}xx");
                ConstCounter::new(count).encode(family.encode_family(&Code { code })?)?;
            }
        }
        let groups = ConstCounter::new(statistics.groups);
        let help = "Groups of writes that were synced to the disk";
        groups.encode(encoder.encode_descriptor(
            "submariner_broker_synced_groups",
            help,
            None,
            groups.metric_type(),
        )?)?;
        let gauges = [
            ("submariner_broker_watches", "Watches that run", statistics.watches),
            ("submariner_broker_resource_version", "The version of the newest write", version),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}
