//! One short request to a web service.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};

use http::header::{ACCEPT, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use subm_probe::public_address::{Heard, read_answer};
use subm_types::Family;
use tower::util::BoxCloneSyncService;

use super::{Outside, lookup};

/// An address with all that one may write around it.
const LONGEST_ANSWER: usize = 4096;

type Addresses = std::vec::IntoIter<SocketAddr>;
type Names = BoxCloneSyncService<Name, Addresses, io::Error>;
type Direct = HttpConnector<Names>;

impl Outside {
    /// Asks over each family that the service has, or once through a proxy, where the way on is not ours to choose.
    pub(super) async fn web(&self, url: &str, families: &BTreeSet<Family>) -> Heard {
        let uri: Uri = match url.parse() {
            Ok(uri) => uri,
            Err(error) => return Heard::failed(format!("{url:?} is no URL: {error}")),
        };
        if let Some(proxy) = self.proxies.intercept(&uri) {
            return match self.through(&proxy, &uri).await {
                Ok(address) => heard([Ok(address)]),
                Err(why) => Heard::failed(format!("{why} (through the proxy {})", place(proxy.uri()))),
            };
        }
        let of_service = match addresses(&uri).await {
            Ok(found) => found,
            Err(why) => return Heard::failed(why),
        };
        let over = |family: &Family| {
            let hosts: Vec<IpAddr> =
                of_service.iter().copied().filter(|address| Family::of(*address) == *family).collect();
            (!hosts.is_empty()).then(|| self.over(*family, hosts, &uri))
        };
        let answers = futures::future::join_all(families.iter().filter_map(over)).await;
        if answers.is_empty() {
            return Heard::failed("the service has no address of a family that this gateway has");
        }
        heard(answers)
    }

    async fn over(&self, family: Family, hosts: Vec<IpAddr>, uri: &Uri) -> Result<IpAddr, String> {
        let said = exchange(secured(&self.tls, direct(Some(hosts))), uri).await?;
        if Family::of(said) == family {
            return Ok(said);
        }
        Err(format!("asked over IP{family} it says {said}, which is of another family"))
    }

    async fn through(&self, proxy: &Intercept, uri: &Uri) -> Result<IpAddr, String> {
        let scheme = proxy.uri().scheme_str().unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            return Err(format!("the proxy speaks {scheme:?}; only proxies of HTTP are known"));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), secured(&self.tls, direct(None)));
        if let Some(credential) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credential.clone());
        }
        exchange(secured(&self.tls, tunnel), uri).await
    }
}

fn heard(answers: impl IntoIterator<Item = Result<IpAddr, String>>) -> Heard {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(address) => found.push(address),
            Err(why) => failures.push(why),
        }
    }
    let failure = (!failures.is_empty()).then(|| failures.join("; "));
    Heard { found: subm_types::PerFamily::of(found), failure }
}

/// Where the service is.
async fn addresses(uri: &Uri) -> Result<Vec<IpAddr>, String> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match host.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => lookup(host).await,
    }
}

/// Connects to these hosts only, or to what a name leads to.
fn direct(hosts: Option<Vec<IpAddr>>) -> Direct {
    let resolve = move |name: Name| {
        let hosts = hosts.clone();
        async move {
            let found = match hosts {
                Some(hosts) => hosts,
                None => lookup(name.as_str()).await.map_err(io::Error::other)?,
            };
            let sockets: Vec<SocketAddr> = found.into_iter().map(|host| SocketAddr::new(host, 0)).collect();
            Ok(sockets.into_iter())
        }
    };
    let mut connector = HttpConnector::new_with_resolver(Names::new(tower::service_fn(resolve)));
    connector.enforce_http(false);
    connector
}

fn secured<C>(tls: &ClientConfig, inner: C) -> HttpsConnector<C> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls.clone());
    builder.https_or_http().enable_http1().wrap_connector(inner)
}

async fn exchange<C>(connector: C, uri: &Uri) -> Result<IpAddr, String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let request = Request::get(uri)
        .header(USER_AGENT, concat!("submariner/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "text/plain, application/json;q=0.5")
        .body(Empty::<&[u8]>::new())
        .map_err(|error| chain(&error))?;
    let response = client.request(request).await.map_err(|error| chain(&error))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("it answers {status} and sends us elsewhere, where we do not go"));
    }
    if status != StatusCode::OK {
        return Err(format!("it answers {status}"));
    }
    let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect().await;
    let body = body.map_err(|error| format!("the answer cannot be read: {}", chain(&*error)))?;
    read_answer(&body.to_bytes())
}

/// A proxy without what it is told of us.
fn place(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", uri.host().unwrap_or_default())
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
