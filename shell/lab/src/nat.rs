//! Boxes between a network and the rest: address translation (RFC 4787) and firewalls.

use std::net::SocketAddr;

use nlink::netlink::nftables::{
    BaseChain, Chain, CtState, Family, Field, FilterHook, Match, NatHook, NatStatement, Policy, Priority,
    Rule, Transaction,
};

use crate::{Host, LabError};

/// Which source port a flow has behind a NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourcePort {
    /// Its own, where no other flow has it.
    Kept,
    /// Any, and another one for each place that it goes to.
    Random,
}

/// A transport protocol that ports are forwarded of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "protocol names")]
pub enum Transport {
    Tcp,
    Udp,
}

/// An address family that a firewall looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the families' names")]
pub enum Guarded {
    Ipv4,
    Ipv6,
}

impl Host {
    /// Makes a NAT of the host: what leaves by this link in IPv4 comes from the link's address.
    pub async fn masquerade(&self, outside: &str, port: SourcePort) -> Result<(), LabError> {
        self.translate(Family::Ip, outside, port).await
    }

    /// The same in IPv6 (RFC 6296 has a gentler way; this one is what hides networks).
    pub async fn masquerade6(&self, outside: &str, port: SourcePort) -> Result<(), LabError> {
        self.translate(Family::Ip6, outside, port).await
    }

    async fn translate(&self, family: Family, outside: &str, port: SourcePort) -> Result<(), LabError> {
        let (table, chain) = ("lab-masquerade", "postrouting");
        let nat = match port {
            SourcePort::Kept => NatStatement::masquerade(),
            SourcePort::Random => NatStatement::masquerade().random().fully_random(),
        };
        let hook = BaseChain::nat(NatHook::Postrouting, Priority::SrcNat);
        let rule = Rule::new(table, chain).family(family).match_oif(outside).counter().nat(nat);
        self.filter_by(family, (table, chain, hook), vec![rule], "masquerade what leaves").await
    }

    /// Lets a port of the NAT's outer address lead to a host behind it.
    pub async fn forward_port(
        &self,
        outside: &str,
        (transport, port): (Transport, u16),
        to: SocketAddr,
    ) -> Result<(), LabError> {
        let (table, chain) = (format!("lab-forward-{port}"), "prerouting");
        let (family, nat) = (of(to), NatStatement::dnat(to.ip()).port(to.port()));
        let rule = Rule::new(&table, chain).family(family).match_iif(outside);
        let rule = match transport {
            Transport::Tcp => rule.match_tcp_dport(port),
            Transport::Udp => rule.match_udp_dport(port),
        };
        let hook = BaseChain::nat(NatHook::Prerouting, Priority::DstNat);
        let what = format!("forward port {port} to {to}");
        self.filter_by(family, (&table, chain, hook), vec![rule.counter().nat(nat)], &what).await
    }

    /// Makes a firewall of the host: in this family only answers to what went out come in by this link.
    pub async fn firewall(&self, outside: &str, guarded: Guarded) -> Result<(), LabError> {
        self.firewall_with_ports(outside, guarded, &[]).await
    }

    /// The same, with UDP ports that everybody may send to.
    pub async fn firewall_with_ports(
        &self,
        outside: &str,
        guarded: Guarded,
        open: &[u16],
    ) -> Result<(), LabError> {
        let family = match guarded {
            Guarded::Ipv4 => Family::Ip,
            Guarded::Ipv6 => Family::Ip6,
        };
        let (table, chain) = ("lab-firewall", "forward");
        let hook = BaseChain::filter(FilterHook::Forward, Priority::Filter).policy(Policy::Accept);
        let rule = || Rule::new(table, chain).family(family).match_iif(outside);
        let known = CtState::ESTABLISHED | CtState::RELATED;
        let answers = rule().then(Match::eq(Field::CtState, known)).counter().accept();
        let open = open.iter().map(|port| rule().match_udp_dport(*port).counter().accept());
        let rules = std::iter::once(answers).chain(open).chain([rule().counter().drop()]).collect();
        self.filter_by(family, (table, chain, hook), rules, "let only answers in").await
    }

    async fn filter_by(
        &self,
        family: Family,
        (table, chain, hook): (&str, &str, BaseChain),
        rules: Vec<Rule>,
        what: &str,
    ) -> Result<(), LabError> {
        let work = async {
            let nft = self.nftables()?;
            let chain = Chain::new(table, chain)?.family(family).base(hook);
            let start = nft.transaction().add_table(table, family).add_chain(chain);
            rules.into_iter().fold(start, Transaction::add_rule).commit(&nft).await
        };
        work.await.map_err(LabError::kernel(self.name(), what))
    }
}

const fn of(address: SocketAddr) -> Family {
    match address {
        SocketAddr::V4(_) => Family::Ip,
        SocketAddr::V6(_) => Family::Ip6,
    }
}
