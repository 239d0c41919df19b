//! Asks others under which address this host is seen: the sockets around [`subm_probe::public_address`].
//!
//! Whom nobody trusts is asked here, so an answer is short, comes in time, and is not looked for elsewhere.

mod web;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use rustls::{ClientConfig, RootCertStore};
use subm_probe::public_address::{Heard, Resolver};
use subm_types::{Family, PerFamily, Reach};

/// Longer than anybody waits for a line of text.
const PATIENCE: Duration = Duration::from_secs(10);

/// What asks: by HTTPS, through the proxies of the environment, and by the host's own resolver of names.
///
/// COMPAT: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (names, addresses and networks), as Go programs read
/// them.
#[derive(Clone)]
pub struct Outside {
    tls: ClientConfig,
    proxies: std::sync::Arc<Matcher>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's address may have a password in it.
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

impl Outside {
    /// Trusts whom the system trusts, and goes through the proxies of the environment.
    pub fn of_environment() -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (_, refused) = roots.add_parsable_certificates(found.certs);
        if roots.is_empty() || refused > 0 {
            tracing::warn!(trusted = roots.len(), refused, errors = ?found.errors, "authorities of the system");
        }
        Self::new(roots, Matcher::from_env())
    }

    pub(crate) fn new(roots: RootCertStore, proxies: Matcher) -> Self {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { tls, proxies: std::sync::Arc::new(proxies) }
    }

    /// Asks a resolver once, over each of the families. A load balancer is for the Kubernetes API to tell.
    pub async fn ask(&self, resolver: &Resolver, families: &BTreeSet<Family>) -> Heard {
        let asked = async {
            match resolver {
                Resolver::Literal(address) => Heard { found: PerFamily::of([*address]), failure: None },
                Resolver::Api(url) => self.web(url, families).await,
                Resolver::Dns(name) => names(name).await,
                Resolver::LoadBalancer(_) => Heard::failed("it is not asked over the network"),
            }
        };
        let answer = tokio::time::timeout(PATIENCE, asked).await;
        answer.unwrap_or_else(|_| Heard::failed(format!("no answer within {} s", PATIENCE.as_secs())))
    }
}

/// What a name leads to: of each family the least address, so that the answer is the same whatever their order.
pub async fn names(name: &str) -> Heard {
    let mut all = match lookup(name).await {
        Ok(all) => all,
        Err(why) => return Heard::failed(why),
    };
    all.sort();
    let found = PerFamily::of(all.into_iter().filter(|address| Reach::of(*address) != Reach::Nowhere));
    let failure = found.iter().next().is_none().then(|| format!("{name} leads to no host"));
    Heard { found, failure }
}

/// Asks the host's resolver of names.
async fn lookup(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = tokio::net::lookup_host((name, 0)).await;
    let found = found.map_err(|error| format!("{name} cannot be resolved: {error}"))?;
    Ok(found.map(|address| address.ip().to_canonical()).collect())
}

#[cfg(test)]
#[path = "public_address_tests.rs"]
mod tests;
