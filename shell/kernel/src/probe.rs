//! What the running kernel can do, found out by asking it for things that leave no trace.

use std::collections::BTreeMap;
use std::fmt;

use nlink::netlink::NlMsgType;
use nlink::netlink::types::link::IfInfoMsg;
use subm_plan::nft::priority;
use subm_plan::nft::{
    At, Chain, ChainName, Hook, HookType, Match, Policy, Rule, Table, TableFamily, TableName, Verdict,
};
use subm_types::{Family, IfName};

use crate::netlink::{self, CREATE, EXCLUSIVE};
use crate::{Kernel, conntrack, nft, tun, xfrm};

/// Something that a kernel may or may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Packet filtering by nftables.
    Nftables,
    /// Address translation by nftables.
    Nat,
    /// Limits of TCP segments by nftables.
    MssClamp,
    /// VXLAN devices.
    Vxlan,
    /// Bridges.
    Bridge,
    /// TUN devices.
    Tun,
    /// Pairs of Ethernet devices.
    Veth,
    /// Devices whose packets go by IPsec policies of their own.
    Xfrm,
    /// ESP, the packets of IPsec.
    Esp,
    /// WireGuard devices.
    Wireguard,
    /// Listing tracked flows.
    Conntrack,
    /// User namespaces for ordinary users.
    UserNamespaces,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Nftables,
        Self::Nat,
        Self::MssClamp,
        Self::Vxlan,
        Self::Bridge,
        Self::Tun,
        Self::Veth,
        Self::Xfrm,
        Self::Esp,
        Self::Wireguard,
        Self::Conntrack,
        Self::UserNamespaces,
    ];

    /// The options that a kernel with it is built with.
    pub const fn options(self) -> &'static str {
        match self {
            Self::Nftables => "CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET",
            // Chains of NAT in tables of family inet came with 5.2.
            Self::Nat => "CONFIG_NFT_NAT, CONFIG_NFT_MASQ (Linux 5.2 or later)",
            Self::MssClamp => "CONFIG_NF_TABLES of Linux 4.14 or later",
            Self::Vxlan => "CONFIG_VXLAN",
            Self::Bridge => "CONFIG_BRIDGE",
            Self::Tun => "CONFIG_TUN",
            Self::Veth => "CONFIG_VETH",
            Self::Xfrm => "CONFIG_XFRM_INTERFACE (Linux 4.19 or later)",
            Self::Esp => "CONFIG_XFRM_USER, CONFIG_INET_ESP, CONFIG_INET6_ESP, CONFIG_CRYPTO_GCM",
            Self::Wireguard => "CONFIG_WIREGUARD (Linux 5.6 or later)",
            Self::Conntrack => "CONFIG_NF_CONNTRACK, CONFIG_NF_CT_NETLINK",
            Self::UserNamespaces => "CONFIG_USER_NS",
        }
    }

    /// What to do where it is missing.
    pub fn remedy(self) -> String {
        format!("this kernel offers no {self}: load its module or use a kernel with {}", self.options())
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "nftables",
            Self::Nat => "NAT by nftables",
            Self::MssClamp => "limits of TCP segments by nftables",
            Self::Vxlan => "VXLAN",
            Self::Bridge => "bridges",
            Self::Tun => "TUN devices",
            Self::Veth => "pairs of Ethernet devices (veth)",
            Self::Xfrm => "IPsec devices (xfrm interfaces)",
            Self::Esp => "ESP",
            Self::Wireguard => "WireGuard",
            Self::Conntrack => "listing of tracked flows",
            Self::UserNamespaces => "user namespaces",
        })
    }
}

/// Why a kernel does not do something here, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It cannot.
    Absent(String),
    /// This process may not ask for it.
    Forbidden(String),
}

impl Lack {
    pub(crate) fn of(error: &nlink::Error) -> Self {
        let said = error.to_string();
        if error.is_permission_denied() { Self::Forbidden(said) } else { Self::Absent(said) }
    }

    fn absent(said: &str) -> Self {
        Self::Absent(said.to_owned())
    }

    /// What to do about it.
    pub fn remedy(&self, capability: Capability) -> String {
        match self {
            Self::Absent(_) => capability.remedy(),
            Self::Forbidden(_) => {
                format!("this process may not use {capability} here: give it CAP_NET_ADMIN")
            }
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Absent(said) | Self::Forbidden(said)) = self;
        f.write_str(said)
    }
}

/// What a kernel can do, and for what it cannot, what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities(BTreeMap<Capability, Option<Lack>>);

impl Capabilities {
    /// Whether the kernel can do this.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.get(&capability).is_some_and(Option::is_none)
    }

    /// What it cannot do, and what it said.
    pub fn missing(&self) -> impl Iterator<Item = (Capability, &Lack)> {
        self.0.iter().filter_map(|(capability, lack)| Some((*capability, lack.as_ref()?)))
    }
}

impl Kernel {
    /// Finds out what the kernel can do here, with the rights of this process. It leaves no trace.
    pub fn probe(&self) -> Capabilities {
        let answer = |capability| {
            let lack = match capability {
                Capability::Nftables => self.probe_table(HookType::Filter, &[], Verdict::Accept),
                Capability::Nat => self.probe_table(HookType::Nat, &[], Verdict::SnatToSelf(Family::V4)),
                Capability::MssClamp => {
                    self.probe_table(HookType::Filter, &[Match::TcpSyn], Verdict::ClampMss)
                }
                Capability::Vxlan => self.probe_link("vxlan"),
                Capability::Bridge => self.probe_link("bridge"),
                Capability::Tun => probe_tun(),
                Capability::Veth => self.probe_link("veth"),
                Capability::Xfrm => self.probe_link("xfrm"),
                Capability::Esp => xfrm::probe(&self.netlink),
                Capability::Wireguard => self.probe_link("wireguard"),
                Capability::Conntrack => self.probe_conntrack(),
                Capability::UserNamespaces => probe_user_namespaces(),
            };
            (capability, lack)
        };
        Capabilities(Capability::ALL.into_iter().map(answer).collect())
    }

    /// Loads a table with one rule of ours, and takes it away again.
    fn probe_table(&self, kind: HookType, matches: &[Match], verdict: Verdict) -> Option<Lack> {
        let Some(filter) = &self.nft else { return Some(Lack::absent("no netfilter sockets")) };
        let name = TableName { family: TableFamily::Inet, name: "submariner-probe".to_owned() };
        let mut table = Table::new(name.clone());
        let hook = Hook { kind, at: At::Postrouting, priority: priority::IDENTITY, policy: Policy::Accept };
        // There is no such link: no packet ever meets the verdict.
        let never = Match::Oif(IfName::constant("submariner-prob"));
        let rule = Rule::new(std::iter::once(never).chain(matches.iter().cloned()), verdict, "probe");
        table.chains.insert(ChainName("probe".to_owned()), Chain { hook: Some(hook), rules: vec![rule] });
        let loaded = self.netlink.wait(nft::replace(filter, &table));
        let removed = self.netlink.wait(nft::delete(filter, &name));
        loaded.and(removed).err().map(|error| Lack::of(&error))
    }

    /// KERNEL: for a known kind the kernel misses the attributes or the name, for an unknown one it says
    /// EOPNOTSUPP; so the request is made to fail either way.
    pub(crate) fn probe_link(&self, kind: &str) -> Option<Lack> {
        const NAME: u16 = 3;
        const ADDRESS: u16 = 1;
        const INFO: u16 = 18;
        let mut request = netlink::change(NlMsgType::RTM_NEWLINK, CREATE | EXCLUSIVE);
        request.append(&IfInfoMsg::new());
        request.append_attr_str(NAME, "subm-probe");
        request.append_attr(ADDRESS, &[1, 0, 0, 0, 0, 1]);
        let info = request.nest_start(INFO);
        request.append_attr_str(1, kind);
        request.nest_end(info);
        match self.netlink.send(&request) {
            Err(error) if error.is_not_supported() || error.is_permission_denied() => Some(Lack::of(&error)),
            Ok(()) | Err(_) => None,
        }
    }

    fn probe_conntrack(&self) -> Option<Lack> {
        let Some(connection) = &self.conntrack else { return Some(Lack::absent("no netfilter sockets")) };
        let listed =
            self.netlink.wait(conntrack::wrong_flows(connection, &std::collections::BTreeSet::new()));
        listed.err().map(|error| Lack::of(&error))
    }
}

fn probe_tun() -> Option<Lack> {
    tun::openable().err().map(|error| Lack::Absent(error.to_string()))
}

fn probe_user_namespaces() -> Option<Lack> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    if number("/proc/sys/user/max_user_namespaces").is_none_or(|most| most == 0) {
        return Some(Lack::absent("user.max_user_namespaces is 0 or missing"));
    }
    let refused = ["kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"];
    let [clone, restricted] = refused.map(|path| number(&format!("/proc/sys/{path}")));
    if clone == Some(0) {
        return Some(Lack::absent("kernel.unprivileged_userns_clone is 0"));
    }
    (restricted == Some(1)).then(|| Lack::absent("kernel.apparmor_restrict_unprivileged_userns is 1"))
}
