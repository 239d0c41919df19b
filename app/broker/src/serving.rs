//! The process: everything of the folder behind TLS, until the end is asked for or the disk fails.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use subm_apiserver::{ApiServer, AuditLog, Builder, Credential, ServerTls, kubeconfig};
use subm_runtime::{Admin, Readiness, Shutdown};
use tokio::net::TcpListener;
use tracing::info;

use crate::folder::{Folder, Keys, write_private};
use crate::hub;
use crate::metrics::OfServer;
use crate::settings::Settings;

/// Serves until the end is asked for.
pub(crate) async fn serve(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let readiness = Readiness::default();
    let starting = readiness.wait_for("the objects on the disk");
    let folder = Folder::new(&settings.folder);
    let (storage, keys) = folder.open()?;
    let tls = certificate(&settings, &keys)?;
    let own = keys.authority.pem();
    let admin = keys.admin.clone();
    let server = builder(&settings, keys, &folder)?.open(storage)?;
    // Waits for the disk, which the runtime's threads must not.
    let completing = (server.store(), settings.clone());
    tokio::task::spawn_blocking(move || hub::complete(&completing.0, &completing.1)).await??;
    let listener = listen(settings.listen).await?;
    let authority = trusted(&settings)?.unwrap_or(own);
    let url = url(&settings, listener.local_addr().context("the listener has no address")?);
    let text = kubeconfig(&url, &authority, &admin, "submariner-broker");
    write_private(&folder.admin_kubeconfig(), &text)?;
    let _admin = admin_endpoints(&server, readiness).serve(settings.admin_port);
    drop(starting);
    serve_until_end(&server, listener, tls, shutdown).await
}

fn admin_endpoints(server: &ApiServer, readiness: Readiness) -> Admin {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(OfServer(server.clone())));
    Admin::new(readiness, registry)
}

async fn serve_until_end(
    server: &ApiServer,
    listener: TcpListener,
    tls: ServerTls,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    tell("hub is up");
    let asked = async {
        shutdown.requested().await;
        server.close();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = server.serve_until_closed(listener, tls) => {}
        failure = server.storage_failure() => return Err(anyhow::Error::from(failure).context("the hub ends")),
        () = asked => {}
    }
    tell("hub ends; everything is on the disk");
    Ok(())
}

fn tell(what: &'static str) {
    info!(version = env!("CARGO_PKG_VERSION"), "{what}");
}

fn builder(settings: &Settings, keys: Keys, folder: &Folder) -> anyhow::Result<Builder> {
    let mut builder = ApiServer::builder()
        .credentials([Credential::admin(&keys.admin)])
        .authority(&keys.authority.pem())?
        .token_key(keys.token)
        .hub(&settings.namespace)
        .backups(folder.files()?);
    if let Some(trusted) = trusted(settings)? {
        builder = builder.trusted(&trusted);
    }
    if let Some(path) = &settings.audit_log {
        let log = AuditLog::open(path);
        builder = builder.audit(log.with_context(|| format!("cannot write {}", path.display()))?);
    }
    Ok(builder)
}

fn certificate(settings: &Settings, keys: &Keys) -> anyhow::Result<ServerTls> {
    if let Some(given) = &settings.tls {
        return Ok(ServerTls::from_pem(&read(&given.certificate)?, &read(&given.key)?)?);
    }
    let mut names: Vec<String> = settings.addresses.iter().map(|address| host(address).to_owned()).collect();
    let own = ["127.0.0.1", "::1", "localhost", "submariner-broker"].map(str::to_owned);
    names.extend(own);
    let ip = settings.listen.ip();
    if !ip.is_unspecified() {
        names.push(ip.to_string());
    }
    names.sort();
    names.dedup();
    Ok(keys.authority.server_certificate(&names)?)
}

/// The authority of a certificate from elsewhere.
fn trusted(settings: &Settings) -> anyhow::Result<Option<String>> {
    let given = settings.tls.as_ref().and_then(|tls| tls.authority.as_deref());
    given.map(read).transpose()
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let ipv4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    let everywhere = [address, ipv4];
    let addresses = if address.ip().is_unspecified() { &everywhere[..] } else { &everywhere[..1] };
    let listener = TcpListener::bind(addresses).await;
    listener
        .with_context(|| format!("cannot listen at {address}; free the port or choose another with --listen"))
}

/// The host of an address, which may carry a port.
fn host(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

/// Where clients are told to go.
fn url(settings: &Settings, listening: SocketAddr) -> String {
    let port = listening.port();
    match settings.addresses.first() {
        Some(address) if host(address) != address && !address.ends_with(']') => format!("https://{address}"),
        Some(address) if host(address).contains(':') => format!("https://[{}]:{port}", host(address)),
        Some(address) => format!("https://{address}:{port}"),
        None if listening.ip().is_unspecified() => format!("https://127.0.0.1:{port}"),
        None => format!("https://{listening}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Arguments;

    #[test]
    fn clients_are_told_the_first_address_with_a_port() {
        let told = |address: &str| {
            let given = Arguments {
                addresses: vec![address.to_owned()],
                namespace: "broker".to_owned(),
                ..Arguments::default()
            };
            url(&Settings::try_from(given).unwrap(), "[::]:6443".parse().unwrap())
        };
        assert_eq!(told(""), "https://127.0.0.1:6443");
        assert_eq!(told("hub.example.org"), "https://hub.example.org:6443");
        assert_eq!(told("hub.example.org:443"), "https://hub.example.org:443");
        assert_eq!(told("192.0.2.1"), "https://192.0.2.1:6443");
        assert_eq!(told("2001:db8::1"), "https://[2001:db8::1]:6443");
        assert_eq!(told("[2001:db8::1]:443"), "https://[2001:db8::1]:443");
        assert_eq!(host("[2001:db8::1]:443"), "2001:db8::1");
    }
}
