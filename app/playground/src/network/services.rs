//! Follows the Services and EndpointSlices of a cluster, through its API as any proxy does.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use subm_apiserver::{Rule, Verb};

use super::proxy::{self, ServicePort};
use crate::api;

/// Hands the services of a cluster to `each` whenever they change.
pub(super) fn follow(api: &api::Api, each: impl Fn(&[ServicePort]) + Send + 'static) -> anyhow::Result<()> {
    let read = [Verb::Get, Verb::List, Verb::Watch];
    let rules = vec![
        Rule::on("", &["services"]).verbs(&read),
        Rule::on("discovery.k8s.io", &["endpointslices"]).verbs(&read),
    ];
    let token = api.grant("system:kube-proxy", rules)?;
    let client = Client::new(api.server().service_as(&token), "default");
    tokio::spawn(async move {
        let (services, services_writer) = reflector::store::<Service>();
        let (slices, slices_writer) = reflector::store::<EndpointSlice>();
        let config = watcher::Config::default();
        let service_events = watcher(Api::<Service>::all(client.clone()), config.clone())
            .default_backoff()
            .reflect(services_writer)
            .map(|event| event.map(drop));
        let slice_events = watcher(Api::<EndpointSlice>::all(client), config)
            .default_backoff()
            .reflect(slices_writer)
            .map(|event| event.map(drop));
        let mut events = pin!(futures::stream::select(service_events, slice_events));
        while let Some(event) = events.next().await {
            if let Err(error) = event {
                tracing::warn!(%error, "services cannot be followed");
            }
            if is_complete(&services) && is_complete(&slices) {
                let (services, slices) = (services.state(), slices.state());
                each(&proxy::services(services.iter().map(AsRef::as_ref), slices.iter().map(AsRef::as_ref)));
            }
        }
    });
    Ok(())
}

/// A proxy that knows half of the services would cut the others off.
fn is_complete<K>(store: &Store<K>) -> bool
where
    K: reflector::Lookup + Clone + 'static,
    K::DynamicType: Eq + std::hash::Hash + Clone,
{
    use futures::FutureExt;
    store.wait_until_ready().now_or_never().is_some()
}
