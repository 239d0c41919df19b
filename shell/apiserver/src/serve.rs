//! The front: connections over TLS, and a service for clients in the process.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::faults::Link;
use crate::identity::Peer;
use crate::respond::respond;
use crate::server::{ApiServer, Shared};
use crate::tls::ServerTls;

/// How long requests may take after the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// The server cannot be reached, because a fault knob says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the API server refuses connections")]
pub struct Unreachable;

/// The server as a service in the process, as `kube::Client::new` takes it.
#[derive(Debug, Clone)]
pub struct Service {
    shared: Arc<Shared>,
    authorization: Option<HeaderValue>,
    peer: Arc<Peer>,
}

impl<B> tower::Service<Request<B>> for Service
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Body::new);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().entry(header::AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        Box::pin(respond(Arc::clone(&self.shared), request, Arc::clone(&self.peer)))
    }
}

impl ApiServer {
    /// The server as a service in the process; requests carry their own tokens.
    pub fn service(&self) -> Service {
        Service { shared: Arc::clone(&self.shared), authorization: None, peer: Arc::default() }
    }

    /// The server as a service in the process for the holder of a token, which must be printable text.
    pub fn service_as(&self, token: &str) -> Service {
        let authorization = HeaderValue::from_str(&format!("Bearer {token}")).ok();
        Service { shared: Arc::clone(&self.shared), authorization, peer: Arc::default() }
    }

    /// Serves HTTP/1.1 and HTTP/2 over TLS; ends, with all connections, when it is dropped.
    pub async fn serve(&self, listener: TcpListener, tls: ServerTls) -> Infallible {
        let mut connections = JoinSet::new();
        loop {
            self.accept(&listener, &tls, &mut connections).await;
        }
    }

    /// Serves until [`ApiServer::close`] is called and the requests that run then are answered, or a few seconds are
    /// over.
    pub async fn serve_until_closed(&self, listener: TcpListener, tls: ServerTls) {
        let mut connections = JoinSet::new();
        let closing = self.shared.closing().clone();
        while !closing.is_cancelled() {
            tokio::select! {
                () = self.accept(&listener, &tls, &mut connections) => {}
                () = closing.cancelled() => {}
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }

    async fn accept(&self, listener: &TcpListener, tls: &ServerTls, connections: &mut JoinSet<()>) {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(self.service(), stream, tls.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // The usual cause is a lack of file descriptors, which only time cures.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(service: Service, stream: TcpStream, tls: ServerTls) {
    if let Err(error) = converse(service, stream, tls).await {
        tracing::debug!(%error, "connection ended");
    }
}

async fn converse(mut service: Service, stream: TcpStream, tls: ServerTls) -> Result<(), BoxError> {
    let faults = service.shared.faults().clone();
    let closing = service.shared.closing().clone();
    if faults.pass().await == Link::Refused {
        // Without lingering, the peer sees a reset.
        return Ok(SockRef::from(&stream).set_linger(Some(Duration::ZERO))?);
    }
    tune(&stream)?;
    let address = stream.peer_addr().ok().map(|address| address.ip().to_canonical());
    let stream = tokio::time::timeout(Duration::from_secs(30), tls.0.accept(stream)).await??;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificates = certificates.iter().map(|certificate| certificate.clone().into_owned()).collect();
    service.peer = Arc::new(Peer { address, certificates });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(10_000);
    let served =
        builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut served = std::pin::pin!(served);
    let mut link = faults.link();
    tokio::select! {
        result = served.as_mut() => return result,
        _ = link.wait_for(|link| *link == Link::Refused) => return Ok(()),
        () = closing.cancelled() => {}
    }
    served.as_mut().graceful_shutdown();
    served.await
}

/// Sends events without delay, and notices peers that vanished.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
