//! Endpoints, readable or not.

use std::collections::BTreeMap;

use subm_api::{Endpoint as ApiEndpoint, EndpointSpec};
use subm_kube::{ApiError, Event, Key, Objects};
use subm_runtime::Dirty;
use subm_types::{Endpoint, Problem};

use super::dirty;

#[derive(Debug, Default)]
pub(super) struct Endpoints {
    objects: Objects<ApiEndpoint>,
    /// The last form of each that passed the checks. An update that breaks an object must not take down what worked.
    good: BTreeMap<Key, (Endpoint, EndpointSpec)>,
    bad: Vec<Problem>,
}

impl Endpoints {
    pub(super) fn apply(&mut self, event: Event<ApiEndpoint>) -> Dirty {
        let news = dirty(self.objects.apply(event));
        if news == Dirty::Yes {
            self.check();
        }
        news
    }

    fn check(&mut self) {
        let mut before = std::mem::take(&mut self.good);
        self.bad.clear();
        for (key, object) in self.objects.all() {
            match Endpoint::try_from(object) {
                Ok(endpoint) => {
                    self.good.insert(key.clone(), (endpoint, object.spec.clone()));
                }
                Err(problems) => {
                    self.bad.extend(problems);
                    self.good.extend(before.remove_entry(key));
                }
            }
        }
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.objects.is_complete()
    }

    pub(super) const fn unavailable(&self) -> Option<&ApiError> {
        self.objects.unavailable()
    }

    pub(super) fn readable(&self) -> Vec<Endpoint> {
        self.good.values().map(|(endpoint, _)| endpoint.clone()).collect()
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        self.objects.problems().chain(&self.bad).cloned().collect()
    }

    pub(super) fn specs(&self) -> BTreeMap<String, EndpointSpec> {
        self.good.values().map(|(endpoint, spec)| (endpoint.object.clone(), spec.clone())).collect()
    }
}
