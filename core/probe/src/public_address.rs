//! The address of a gateway as it is seen from outside: who is asked, what is believed, and whose answer counts.
//!
//! COMPAT: the list is the Go implementation's `SUBMARINER_PUBLICIP`: `method:value` with commas between, the first
//! that answers counts. Here all are asked at once; their order says who is believed.

mod answer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use subm_types::{Family, PerFamily, Reach};

pub use answer::read_answer;

/// Who is asked where nobody says whom: services that the Go implementation asks too.
pub const DEFAULT_RESOLVERS: &str =
    "api:checkip.amazonaws.com,api:4.icanhazip.com,api:api.ipify.org,api:api6.ipify.org";

/// The longest name or URL that is taken.
const LONGEST: usize = 1024;

/// A way to find the address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolver {
    /// It is this one.
    Literal(IpAddr),
    /// A web service tells it; the URL.
    Api(String),
    /// What a load balancer in front of a Service of ours has got.
    LoadBalancer(String),
    /// What a name leads to.
    Dns(String),
}

impl fmt::Display for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(address) => write!(f, "ip{}:{address}", Family::of(*address)),
            Self::Api(url) => write!(f, "api:{}", url.strip_prefix("https://").unwrap_or(url)),
            Self::LoadBalancer(service) => write!(f, "lb:{service}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
        }
    }
}

/// An element of a list that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// As it stands.
    pub element: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// A list of resolvers, the preferred first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolvers {
    /// Whom to ask.
    pub wanted: Vec<Resolver>,
    /// What cannot be read; the others stand.
    pub unreadable: Vec<Unreadable>,
}

impl Resolvers {
    /// Reads a list.
    pub fn read(list: &str) -> Self {
        let mut out = Self::default();
        for element in list.split(',').map(str::trim).filter(|element| !element.is_empty()) {
            match read(element) {
                Ok(resolver) if out.wanted.contains(&resolver) => {}
                Ok(resolver) => out.wanted.push(resolver),
                Err(what) => {
                    let element = element.chars().take(LONGEST).collect();
                    out.unreadable.push(Unreadable { element, what });
                }
            }
        }
        out
    }

    /// Those that work where nothing outside can be asked.
    #[must_use]
    pub fn air_gapped(mut self) -> Self {
        self.wanted.retain(|one| matches!(one, Resolver::Literal(_) | Resolver::LoadBalancer(_)));
        self
    }

    /// Tells whether the gateway is behind a load balancer: the one that is preferred to everybody is one.
    pub fn load_balanced(&self) -> bool {
        matches!(self.wanted.first(), Some(Resolver::LoadBalancer(_)))
    }
}

fn read(element: &str) -> Result<Resolver, &'static str> {
    const METHODS: &str = "does not begin with api:, dns:, ipv4:, ipv6: or lb:";
    let (method, value) = element.split_once(':').ok_or(METHODS)?;
    let value = value.trim();
    if value.is_empty() || value.len() > LONGEST {
        return Err("has no value of a sensible length");
    }
    match method.trim() {
        "ipv4" => literal(value, Family::V4).ok_or("is no IPv4 address"),
        "ipv6" => literal(value, Family::V6).ok_or("is no IPv6 address"),
        "api" => url(value).map(Resolver::Api).ok_or("is no host with a path, or URL of http or https"),
        "lb" if is_label(value) => Ok(Resolver::LoadBalancer(value.to_owned())),
        "lb" => Err("is no name of a Service"),
        "dns" if value.trim_end_matches('.').split('.').all(is_name_part) => {
            Ok(Resolver::Dns(value.to_owned()))
        }
        "dns" => Err("is no name"),
        _ => Err(METHODS),
    }
}

fn literal(value: &str, family: Family) -> Option<Resolver> {
    let address = value.parse().ok().filter(|address| Family::of(*address) == family)?;
    (Reach::of(address) != Reach::Nowhere).then_some(Resolver::Literal(address))
}

/// A URL is printable ASCII; whether the rest can be used shows when it is asked.
fn url(value: &str) -> Option<String> {
    let printable = value.bytes().all(|byte| byte.is_ascii_graphic());
    let url = match value.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => value.to_owned(),
        Some(_) => return None,
        None => format!("https://{value}"),
    };
    printable.then_some(url)
}

/// The name of a Service (RFC 1035 §2.3.1, as Kubernetes has it).
fn is_label(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_name_part(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed)
}

/// What a resolver said last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Nothing for so long that those after it are heard.
    Slow,
    /// Something.
    Heard(Heard),
}

/// What came of asking a resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The addresses that it knows.
    pub found: PerFamily<IpAddr>,
    /// Why it could not be asked, or why what it says cannot be believed.
    pub failure: Option<String>,
}

impl Heard {
    /// Nothing but a failure.
    pub fn failed(why: impl Into<String>) -> Self {
        Self { found: PerFamily::default(), failure: Some(why.into()) }
    }
}

/// What everybody said; who is absent was asked just now.
pub type Answers = BTreeMap<Resolver, Told>;

/// What follows from the answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The address of each family, and who said so.
    pub found: PerFamily<(IpAddr, usize)>,
    /// Families of which somebody may still tell more than we know.
    pub open: BTreeSet<Family>,
}

/// Chooses of each family the address that the most preferred resolver tells.
pub fn choose(resolvers: &[Resolver], answers: &Answers) -> Choice {
    let mut choice = Choice::default();
    for family in Family::ALL {
        for (rank, resolver) in resolvers.iter().enumerate() {
            match told(resolver, family, answers) {
                Voice::Says(address) => choice.found.set(family, (address, rank)),
                Voice::MaySpeak => drop(choice.open.insert(family)),
                Voice::Silent => continue,
            }
            break;
        }
    }
    choice
}

enum Voice {
    Says(IpAddr),
    MaySpeak,
    Silent,
}

fn told(resolver: &Resolver, family: Family, answers: &Answers) -> Voice {
    if let Resolver::Literal(address) = resolver {
        return if Family::of(*address) == family { Voice::Says(*address) } else { Voice::Silent };
    }
    match answers.get(resolver) {
        None => Voice::MaySpeak,
        Some(Told::Slow) => Voice::Silent,
        Some(Told::Heard(heard)) => {
            heard.found.get(family).map_or(Voice::Silent, |address| Voice::Says(*address))
        }
    }
}

#[cfg(test)]
#[path = "public_address_tests.rs"]
mod tests;
