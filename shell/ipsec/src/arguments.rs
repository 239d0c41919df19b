//! How pluto is told of a connection: the arguments of `whack`, whose names changed with libreswan 5.

use subm_plan::ipsec::{ConnectionName, IkeProof, IpsecConnection, IpsecEnd, IpsecRole};

/// COMPAT: seconds without traffic after which the other end is asked whether it lives (RFC 7296 §2.4).
const LIVENESS: &str = "30";

/// The arguments of a `whack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Of libreswan 4.
    Four,
    /// Of libreswan 5 and later.
    Five,
}

impl Dialect {
    pub(crate) fn of(version: Option<(u32, u32)>) -> Self {
        if version.is_some_and(|(major, _)| major < 5) { Self::Four } else { Self::Five }
    }

    const fn encapsulation(self) -> &'static str {
        match self {
            Self::Four => "--encaps",
            Self::Five => "--encapsulation",
        }
    }
}

/// The arguments that add a connection. COMPAT: those of the Go implementation, so that the daemon's own proposals and
/// lifetimes hold; beside them only what stays on this host: the link, the mark, and that no script is run.
pub(crate) fn add(name: &ConnectionName, connection: &IpsecConnection, dialect: Dialect) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut say = |words: &[&str]| out.extend(words.iter().map(|word| (*word).to_owned()));
    match connection.proof {
        IkeProof::Secret => say(&["--psk", "--encrypt"]),
        IkeProof::Certificate(_) => say(&["--rsasig", "--encrypt"]),
    }
    // Without a word libreswan 4 refuses what the other end asks for.
    say(&[dialect.encapsulation(), if connection.encapsulated { "yes" } else { "auto" }]);
    say(&["--name", name.as_str(), "--metric", &connection.mark().to_string()]);
    say(&["--ipsec-interface", &connection.interface.to_string(), "--updown", "%disabled"]);
    if let IkeProof::Certificate(certificate) = connection.proof {
        say(&["--cert", certificate, "--sendcert", "always"]);
    }
    out.extend(end(&connection.local));
    out.push("--to".to_owned());
    out.extend(end(&connection.remote));
    let rest = ["--dpdaction", "hold", "--dpddelay", LIVENESS];
    out.extend(rest.map(str::to_owned));
    out
}

fn end(end: &IpsecEnd) -> Vec<String> {
    let address = end.address.map_or_else(|| "%any".to_owned(), |address| address.to_string());
    let mut out = vec!["--id".to_owned(), end.id.to_string(), "--host".to_owned(), address];
    out.extend(["--client".to_owned(), end.network.to_string()]);
    out.extend(end.port.into_iter().flat_map(|port| ["--ikeport".to_owned(), port.to_string()]));
    out
}

/// The calls that have a connection set up, one after the other.
pub(crate) fn initiate(name: &ConnectionName, role: IpsecRole, dialect: Dialect) -> Vec<Vec<String>> {
    let call = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let named = ["--name", name.as_str()];
    match (role, dialect) {
        (IpsecRole::Server, _) => Vec::new(),
        (_, Dialect::Four) => {
            vec![call(&[&["--route", "--initiate", "--asynchronous"][..], &named].concat())]
        }
        (_, Dialect::Five) => vec![
            call(&[&["--route"][..], &named].concat()),
            call(&[&["--initiate", "--asynchronous"][..], &named].concat()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use subm_plan::ipsec::IkeId;
    use subm_types::Family;

    use super::*;

    fn connection() -> (ConnectionName, IpsecConnection) {
        let end = |address: &str, network: &str| IpsecEnd {
            address: Some(address.parse().unwrap()),
            id: IkeId::Address(address.parse().unwrap()),
            network: network.parse().unwrap(),
            port: Some(4500),
        };
        let connection = IpsecConnection {
            role: IpsecRole::Peer,
            proof: IkeProof::Secret,
            local: end("192.0.2.1", "10.1.0.0/16"),
            remote: end("192.0.2.2", "10.2.0.0/16"),
            encapsulated: true,
            interface: 83,
        };
        (ConnectionName::of("cable", Family::V4, (0, 1)).unwrap(), connection)
    }

    #[test]
    fn a_connection_is_told_as_the_go_implementation_does() {
        let (name, connection) = connection();
        let said = add(&name, &connection, Dialect::Four).join(" ");
        let mark = connection.mark();
        let expected = format!(
            "--psk --encrypt --encaps yes --name cable-v4-0-1 --metric {mark} --ipsec-interface 83 --updown %disabled \
             --id 192.0.2.1 --host 192.0.2.1 --client 10.1.0.0/16 --ikeport 4500 \
             --to --id 192.0.2.2 --host 192.0.2.2 --client 10.2.0.0/16 --ikeport 4500 \
             --dpdaction hold --dpddelay 30"
        );
        assert_eq!(said, expected);
        let five = add(&name, &connection, Dialect::of(Some((5, 2)))).join(" ");
        assert!(five.contains("--encapsulation yes"), "{five}");
    }

    #[test]
    fn a_server_waits_for_whoever_knows_its_name() {
        let (name, mut connection) = connection();
        connection.role = IpsecRole::Server;
        connection.local.id = IkeId::Pair("192.0.2.1".parse().unwrap(), 0, 1);
        (connection.remote.address, connection.remote.port) = (None, None);
        connection.remote.id = IkeId::Pair("192.0.2.2".parse().unwrap(), 1, 0);
        let said = add(&name, &connection, Dialect::Four).join(" ");
        assert!(said.contains("--id @192.0.2.1-0-1 --host 192.0.2.1"), "{said}");
        assert!(
            said.contains("--to --id @192.0.2.2-1-0 --host %any --client 10.2.0.0/16 --dpdaction"),
            "{said}"
        );
        assert!(initiate(&name, connection.role, Dialect::Four).is_empty());
    }
}
