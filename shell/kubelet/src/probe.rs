//! Probes: asking a container whether it lives and is ready.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use subm_lab::Host;

use crate::api::{list, text};
use crate::refusal::Refusal;

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Startup,
    Liveness,
    Readiness,
}

impl Purpose {
    pub(crate) const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    pub(crate) const fn field(self) -> &'static str {
        match self {
            Self::Startup => "startupProbe",
            Self::Liveness => "livenessProbe",
            Self::Readiness => "readinessProbe",
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// A probe of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) purpose: Purpose,
    pub(crate) how: How,
    pub(crate) delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) successes: u32,
    pub(crate) failures: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum How {
    Http { host: Option<String>, port: u16, path: String, headers: Vec<(String, String)> },
    Tcp { host: Option<String>, port: u16 },
    Exec { command: Vec<String> },
}

impl Probe {
    /// The probes of a container.
    pub(crate) fn of(container: &Value) -> Result<Vec<Self>, Refusal> {
        let given = Purpose::ALL.into_iter().filter(|purpose| container[purpose.field()].is_object());
        given.map(|purpose| Self::read(container, purpose)).collect()
    }

    fn read(container: &Value, purpose: Purpose) -> Result<Self, Refusal> {
        let probe = &container[purpose.field()];
        let number = |field: &str, without: u64| probe[field].as_u64().unwrap_or(without);
        let seconds = |field, without| Duration::from_secs(number(field, without));
        let count = |field, without| u32::try_from(number(field, without)).unwrap_or(u32::MAX);
        Ok(Self {
            purpose,
            how: how(container, probe, purpose)?,
            delay: seconds("initialDelaySeconds", 0),
            period: seconds("periodSeconds", 10).max(Duration::from_secs(1)),
            timeout: seconds("timeoutSeconds", 1).max(Duration::from_secs(1)),
            successes: count("successThreshold", 1).max(1),
            failures: count("failureThreshold", 3).max(1),
        })
    }
}

fn how(container: &Value, probe: &Value, purpose: Purpose) -> Result<How, Refusal> {
    let host = |of: &Value| of["host"].as_str().filter(|host| !host.is_empty()).map(str::to_owned);
    let (http, tcp, exec) = (&probe["httpGet"], &probe["tcpSocket"], &probe["exec"]);
    if http.is_object() {
        if text(http, "/scheme") == "HTTPS" {
            return Err(Refusal::config(format!("{}: scheme HTTPS is not done here", purpose.field())));
        }
        let headers = list(http, "/httpHeaders").iter();
        let headers =
            headers.map(|header| (text(header, "/name").to_owned(), text(header, "/value").to_owned()));
        let path = match text(http, "/path") {
            "" => "/",
            path => path,
        };
        let (path, headers) = (path.to_owned(), headers.collect());
        return Ok(How::Http { host: host(http), port: port(container, &http["port"])?, path, headers });
    }
    if tcp.is_object() {
        return Ok(How::Tcp { host: host(tcp), port: port(container, &tcp["port"])? });
    }
    if exec.is_object() {
        let words = list(exec, "/command").iter().filter_map(Value::as_str);
        return Ok(How::Exec { command: words.map(str::to_owned).collect() });
    }
    Err(Refusal::config(format!("{}: only httpGet, tcpSocket and exec are done here", purpose.field())))
}

fn port(container: &Value, wanted: &Value) -> Result<u16, Refusal> {
    let named = || {
        let ports = list(container, "/ports").iter();
        ports.filter(|port| port["name"] == *wanted).find_map(|port| port["containerPort"].as_u64())
    };
    let number = wanted.as_u64().or_else(named).or_else(|| wanted.as_str()?.parse().ok());
    let number = number.and_then(|number| u16::try_from(number).ok());
    number.ok_or_else(|| Refusal::config(format!("the container has no port {wanted}")))
}

/// Opens a connection from inside of a network.
fn connect(network: &Host, address: SocketAddr, limit: Duration) -> Result<TcpStream, String> {
    let open = || TcpStream::connect_timeout(&address, limit);
    let stream = network.enter(open).map_err(|error| error.to_string())?;
    stream.map_err(|error| format!("dial tcp {address}: {error}"))
}

fn address(host: Option<&str>, own: IpAddr, port: u16) -> Result<SocketAddr, String> {
    let ip = match host {
        None => own,
        Some("localhost") => IpAddr::from([127, 0, 0, 1]),
        Some(host) => host.parse().map_err(|_| format!("{host:?} is no address"))?,
    };
    Ok(SocketAddr::new(ip, port))
}

/// Whether a port takes connections.
pub(crate) fn tcp(
    network: &Host,
    own: IpAddr,
    (host, port): (Option<&str>, u16),
    limit: Duration,
) -> Result<(), String> {
    connect(network, address(host, own, port)?, limit).map(drop)
}

/// Whether a path is answered with a code from 200 to 399.
pub(crate) fn http(
    network: &Host,
    own: IpAddr,
    how: (Option<&str>, u16, &str, &[(String, String)]),
    limit: Duration,
) -> Result<(), String> {
    let (host, port, path, headers) = how;
    let address = address(host, own, port)?;
    let mut stream = connect(network, address, limit)?;
    let get = |stream: &mut TcpStream| -> std::io::Result<Vec<u8>> {
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nUser-Agent: kube-probe/stand-in\r\nAccept: */*\r\nConnection: close\r\n"
        );
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request += &["Host: ", &address.to_string(), "\r\n"].concat();
        }
        for (name, value) in headers {
            request += &[name, ": ", value, "\r\n"].concat();
        }
        stream.write_all(format!("{request}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        let mut bytes = [0; 512];
        while !answer.contains(&b'\n') {
            match stream.read(&mut bytes)? {
                0 => break,
                length => answer.extend_from_slice(&bytes[..length]),
            }
        }
        Ok(answer)
    };
    let answer = get(&mut stream).map_err(|error| format!("Get \"http://{address}{path}\": {error}"))?;
    let line = String::from_utf8_lossy(&answer);
    let code: u16 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    if (200..400).contains(&code) {
        Ok(())
    } else {
        Err(format!("HTTP probe failed with statuscode: {code}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn probes_have_the_defaults_of_kubernetes() {
        let container = json!({
            "ports": [{"name": "web", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"port": "web"}},
        });
        let probe = Probe::of(&container).unwrap().remove(0);
        assert_eq!(probe.how, How::Http { host: None, port: 8080, path: "/".to_owned(), headers: vec![] });
        assert_eq!((probe.period, probe.timeout), (Duration::from_secs(10), Duration::from_secs(1)));
        assert_eq!((probe.successes, probe.failures), (1, 3));
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let refused = |probe: Value| Probe::of(&json!({"livenessProbe": probe})).unwrap_err().message;
        assert!(refused(json!({"grpc": {"port": 1}})).starts_with("livenessProbe: only"));
        assert!(refused(json!({"httpGet": {"port": 1, "scheme": "HTTPS"}})).contains("HTTPS"));
        assert_eq!(refused(json!({"tcpSocket": {"port": "web"}})), "the container has no port \"web\"");
    }
}
