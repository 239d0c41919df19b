//! The hub's two kinds, listed together so that both lists tell of the same hub.
//!
//! Absence on the hub is evidence only while our own Cluster stands there. Two watches that come back one after the
//! other could show our Cluster of before and the Endpoints of after the hub lost its data. So both are listed as one,
//! between two looks at our own Cluster, and both begin anew when either breaks.

use futures::{Stream, stream};
use subm_api::{Cluster, Endpoint};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::watch::{Backoff, Changes, Heard};
use crate::{ApiError, Connection, Event, Watch};

/// What the hub says.
#[derive(Debug)]
pub(super) enum HubEvent {
    /// Everything there is, of one moment.
    Both(Box<(Event<Cluster>, Event<Endpoint>)>),
    /// A change.
    Cluster(Event<Cluster>),
    /// A change.
    Endpoint(Event<Endpoint>),
    /// It cannot be watched.
    Unavailable(ApiError),
}

struct HubWatch {
    clusters: Watch<Cluster>,
    endpoints: Watch<Endpoint>,
    own: String,
    following: Option<Following>,
    backoff: Backoff,
    reachable: bool,
}

struct Following {
    clusters: Changes,
    endpoints: Changes,
    since: Instant,
}

/// Watches the hub; `own` is the name of our Cluster there.
pub(super) fn events(hub: &Connection, own: String) -> impl Stream<Item = HubEvent> + Send + use<> {
    let watch = HubWatch {
        clusters: Watch::namespaced(hub),
        endpoints: Watch::namespaced(hub),
        own,
        following: None,
        backoff: Backoff::default(),
        reachable: true,
    };
    stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await;
        Some((event, watch))
    })
}

impl HubWatch {
    async fn next(&mut self) -> HubEvent {
        loop {
            let Some(mut following) = self.following.take() else {
                self.backoff.rest().await;
                match self.begin().await {
                    Ok(Some(event)) => return event,
                    Ok(None) => self.backoff.failed(),
                    Err(error) => return self.unavailable(error),
                }
                continue;
            };
            let heard = tokio::select! {
                heard = self.endpoints.hear(&mut following.endpoints) => heard.map(HubEvent::Endpoint),
                heard = self.clusters.hear(&mut following.clusters) => heard.map(HubEvent::Cluster),
            };
            match heard {
                Heard::Over => self.backoff.over(following.since),
                Heard::Refused(error) => return self.unavailable(error),
                Heard::Nothing => self.go_on(following),
                Heard::News(event) => {
                    self.go_on(following);
                    return event;
                }
            }
        }
    }

    fn go_on(&mut self, following: Following) {
        self.backoff.heard();
        self.following = Some(following);
    }

    /// Lists both; `None` if the hub became another one meanwhile.
    async fn begin(&mut self) -> Result<Option<HubEvent>, ApiError> {
        let (before, _) = self.clusters.list().await?;
        let (endpoints, from) = self.endpoints.list().await?;
        let Some(endpoint_changes) = self.endpoints.follow(&from).await? else { return Ok(None) };
        let (clusters, from) = self.clusters.list().await?;
        let Some(cluster_changes) = self.clusters.follow(&from).await? else { return Ok(None) };
        if self.own_uid(&before) != self.own_uid(&clusters) {
            return Ok(None);
        }
        let since = Instant::now();
        self.following = Some(Following { clusters: cluster_changes, endpoints: endpoint_changes, since });
        if !std::mem::replace(&mut self.reachable, true) {
            info!(of = %self.endpoints, "watching the hub again");
        }
        Ok(Some(HubEvent::Both(Box::new((clusters, endpoints)))))
    }

    fn own_uid<'a>(&self, list: &'a Event<Cluster>) -> Option<&'a str> {
        let Event::Snapshot { objects, .. } = list else { return None };
        let own = objects.iter().find(|object| object.metadata.name.as_ref() == Some(&self.own))?;
        own.metadata.uid.as_deref()
    }

    fn unavailable(&mut self, error: ApiError) -> HubEvent {
        self.backoff.failed();
        if std::mem::replace(&mut self.reachable, false) {
            warn!(%error, "cannot watch the hub, what was known stands");
        }
        HubEvent::Unavailable(error)
    }
}
