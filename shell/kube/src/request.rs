//! One question to an API server and its answer, within a limit of time.

use std::time::Duration;

use kube::Resource;
use kube::core::request::{Error as BuildError, Request};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{Action, ApiError, Connection, Key};

/// How long an answer may take.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

pub(crate) type Built = Result<http::Request<Vec<u8>>, BuildError>;

impl Connection {
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        action: Action,
        request: Built,
    ) -> Result<T, ApiError> {
        let request = self.built(&action, request)?;
        match timeout(ANSWER, self.client.request(request)).await {
            Ok(answer) => answer.map_err(|error| ApiError::sort(&self.server, action, &error)),
            Err(_) => Err(self.silent(action)),
        }
    }

    pub(crate) fn built(&self, action: &Action, request: Built) -> Result<http::Request<Vec<u8>>, ApiError> {
        request
            .map_err(|cause| ApiError::sort(&self.server, action.clone(), &kube::Error::BuildRequest(cause)))
    }

    pub(crate) fn silent(&self, action: Action) -> ApiError {
        let reason = format!("no answer within {} s", ANSWER.as_secs());
        ApiError::Unreachable { server: self.server.clone(), action: Box::new(action), reason }
    }
}

/// The resource of a kind with its group, as RBAC names it.
pub(crate) fn resource<K: Resource<DynamicType = ()>>() -> String {
    let (plural, group) = (K::plural(&()), K::group(&()));
    if group.is_empty() { plural.into_owned() } else { format!("{plural}.{group}") }
}

pub(crate) fn action<K: Resource<DynamicType = ()>>(verb: &'static str, key: &Key) -> Action {
    let Key { namespace, name } = key.clone();
    Action { verb, resource: resource::<K>(), namespace, name }
}

/// Requests for the kind in a namespace, or for one that has none.
pub(crate) fn requests<K: Resource<DynamicType = ()>>(namespace: &str) -> Request {
    Request::new(K::url_path(&(), Some(namespace).filter(|namespace| !namespace.is_empty())))
}
