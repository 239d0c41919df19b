//! A way to a server for clients in other network namespaces: threads of the server's namespace do the work.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::runtime::Handle;
use tower::{BoxError, Service};

use super::{Real, connect};

/// The server as a service.
#[derive(Clone)]
pub(crate) struct Forward {
    runtime: Handle,
    client: Client,
}

impl Real {
    /// The way through the relay, as the administrator.
    pub(crate) fn forward(&self, relay: SocketAddr) -> Forward {
        let client = connect(&self.runtime, relay, &self.authority, &self.token);
        let client = client.unwrap_or_else(|error| panic!("a client of {relay}: {error:#}"));
        Forward { runtime: self.runtime.clone(), client }
    }
}

impl Service<Request<Body>> for Forward {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move { client.send(request).await });
        async move { Ok(sent.await??) }.boxed()
    }
}
