//! NAT discovery: by which address a remote gateway answers, and whether a NAT is between.
//!
//! COMPAT: messages and the answers to them are the Go implementation's. Each gateway, active or not, answers for its
//! own cable; each asks the others by their private and their public addresses. Until somebody answers, nothing is
//! known, and cables are what Endpoints say. A datagram that answers no open question changes nothing.

mod message;
mod questions;
mod remote;
mod responder;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use subm_types::{CableId, CableName, ClusterId, Family, Moment, PerFamily};

use message::{Body, End, Message, Outcome, Request, Response};
use questions::Questions;
use remote::Remote;
use responder::{Allowance, answer};

/// This gateway's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEnd {
    /// This cluster.
    pub cluster: ClusterId,
    /// What peers call this end.
    pub cable: CableName,
    /// Addresses of the uplink.
    pub private_ips: PerFamily<IpAddr>,
    /// Where it listens and sends from.
    pub port: u16,
}

/// A remote gateway's end, as far as its Endpoint tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteEnd {
    /// Its address on its own network.
    pub private_ip: Option<IpAddr>,
    /// Its address as seen from outside.
    pub public_ip: Option<IpAddr>,
    /// Where it listens.
    pub port: u16,
}

/// How a member names ends.
///
/// COMPAT: newer versions of the Go implementation add the family, older ones do not, and neither answers to the other's
/// form; we answer to both. Which one a member knows shows when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IdForm {
    /// The cable's name.
    Bare,
    /// The cable's name and the family.
    WithFamily,
}

/// Which of its addresses a remote gateway answered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The private one: the gateways are on one network.
    Private,
    /// The public one.
    Public,
}

/// What is known of the way to a remote gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Which of its addresses answered.
    pub way: Way,
    /// The address.
    pub address: IpAddr,
    /// Whether a NAT changes what we send on its way.
    pub nat: bool,
}

/// A datagram to send from the socket of its family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// To whom.
    pub to: SocketAddr,
    /// The message.
    pub payload: Vec<u8>,
}

/// Where request numbers come from: nobody outside may guess them.
pub type Numbers<'a> = dyn FnMut() -> u64 + 'a;

/// Asks and answers for one gateway.
#[derive(Debug, Default)]
pub struct NatDiscovery {
    local: Option<LocalEnd>,
    remotes: BTreeMap<CableId, Remote>,
    questions: Questions,
    allowance: Allowance,
    outbox: VecDeque<Datagram>,
    changed: BTreeSet<CableId>,
}

impl NatDiscovery {
    /// Says who we are; without that nothing is asked or answered.
    pub fn set_local(&mut self, now: Moment, local: Option<LocalEnd>) {
        if self.local == local {
            return;
        }
        self.local = local;
        self.remotes.values_mut().for_each(|remote| remote.ask_soon(now));
    }

    /// Says which ends there are. What is known of one whose addresses did not change stays.
    pub fn set_remotes(&mut self, now: Moment, ends: &BTreeMap<CableId, RemoteEnd>) {
        let gone: Vec<CableId> = self.remotes.keys().filter(|id| !ends.contains_key(id)).cloned().collect();
        for id in gone {
            self.remotes.remove(&id);
            self.changed.insert(id);
        }
        for (id, end) in ends {
            match self.remotes.get_mut(id) {
                Some(remote) if remote.end() == end => {}
                _ => {
                    self.remotes.insert(id.clone(), Remote::new(end.clone(), now));
                    self.changed.insert(id.clone());
                }
            }
        }
    }

    /// Asks an end anew: no packet comes through its cable. What was found stays until there is something better.
    pub fn doubt(&mut self, now: Moment, id: &CableId) {
        if let Some(remote) = self.remotes.get_mut(id) {
            remote.doubt(now);
        }
    }

    /// Queues the questions that are due.
    pub fn handle_timeout(&mut self, now: Moment, numbers: &mut Numbers<'_>) {
        self.questions.forget(now);
        let Some(local) = &self.local else { return };
        for (id, remote) in &mut self.remotes {
            if !remote.is_due(now) {
                continue;
            }
            let Some(source) = local.private_ips.get(id.family) else {
                remote.asked(now);
                continue;
            };
            for (way, address) in remote.ways() {
                let number = numbers();
                let to = SocketAddr::new(address, remote.end().port);
                let request = Request {
                    number,
                    sender: Some(end(&local.cluster, &local.cable, id.family, remote.form())),
                    receiver: Some(end(&id.cluster, &id.path, id.family, remote.form())),
                    using_src: Some(SocketAddr::new(*source, local.port).into()),
                    using_dst: Some(to.into()),
                };
                self.questions.add(now, number, id.clone(), way);
                self.outbox.push_back(Datagram { to, payload: Message::request(request).write() });
            }
            remote.asked(now);
        }
    }

    /// Takes a datagram. What cannot be read, or answers no question of ours, is ignored.
    pub fn handle_datagram(&mut self, now: Moment, from: SocketAddr, datagram: &[u8]) {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        match Message::read(datagram) {
            Some(Body::Request(request)) => self.request(now, from, &request),
            Some(Body::Response(response)) => self.response(now, from, &response),
            None => {}
        }
    }

    fn request(&mut self, now: Moment, from: SocketAddr, request: &Request) {
        let Some(local) = &self.local else { return };
        let Some(response) = answer(local, from, request) else { return };
        // Strangers share an allowance; members whose address is known do not depend on it.
        if self.is_known(from.ip()) || self.allowance.take(now) {
            self.outbox.push_back(Datagram { to: from, payload: Message::response(response).write() });
        }
    }

    fn is_known(&self, address: IpAddr) -> bool {
        let is_its = |end: &RemoteEnd| [end.private_ip, end.public_ip].contains(&Some(address));
        self.remotes.values().any(|remote| is_its(remote.end()))
    }

    fn response(&mut self, now: Moment, from: SocketAddr, response: &Response) {
        let Some(asked) = self.questions.get(response.number) else { return };
        let Some(remote) = self.remotes.get_mut(&asked.id) else { return };
        let sent_by = |id: &CableId| {
            let sender = response.sender.as_ref();
            sender.is_some_and(|sender| is_end(sender, &id.cluster, &id.path, id.family))
        };
        let nat = match Outcome::try_from(response.outcome) {
            Ok(Outcome::Ok) => false,
            Ok(Outcome::NatDetected) => true,
            // It may know itself by the other form. The question is closed: one answer makes one change.
            Ok(Outcome::UnknownDstEndpoint) => {
                remote.change_form(now);
                self.questions.close(response.number);
                return;
            }
            Ok(Outcome::UnknownDstCluster | Outcome::Malformed) | Err(_) => return,
        };
        // Behind a private address may be any host of our own network that is called the same.
        let forged = asked.way == Way::Private && remote.end().private_ip != Some(from.ip());
        if forged || !sent_by(&asked.id) {
            return;
        }
        let (way, id) = (asked.way, asked.id.clone());
        self.questions.close(response.number);
        if remote.answered(now, way, nat) {
            self.changed.insert(id);
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Datagram> {
        self.outbox.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.local.as_ref()?;
        self.remotes.values().map(Remote::due).min()
    }

    /// The next end that came, went, or of which something else is known now.
    pub fn poll_changed(&mut self) -> Option<CableId> {
        self.changed.pop_first()
    }

    /// What is known.
    pub fn found(&self) -> BTreeMap<CableId, Found> {
        self.remotes.iter().filter_map(|(id, remote)| Some((id.clone(), remote.found()?))).collect()
    }
}

/// How an end is named.
fn end(cluster: &ClusterId, cable: &CableName, family: Family, form: IdForm) -> End {
    let endpoint_id = match form {
        IdForm::Bare => cable.0.clone(),
        IdForm::WithFamily => with_family(cable, family),
    };
    End { cluster_id: cluster.to_string(), endpoint_id }
}

/// Tells whether an end is meant, in whichever form.
fn is_end(told: &End, cluster: &ClusterId, cable: &CableName, family: Family) -> bool {
    told.cluster_id == cluster.as_str()
        && (told.endpoint_id == cable.0 || told.endpoint_id == with_family(cable, family))
}

fn with_family(cable: &CableName, family: Family) -> String {
    format!("{cable}-{family}")
}

#[cfg(test)]
#[path = "nat_tests.rs"]
mod tests;
