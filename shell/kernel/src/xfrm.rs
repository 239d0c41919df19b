//! The security associations of IPsec: what an IKE daemon gave the kernel, and what went through.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use nlink::netlink::xfrm::{IpsecProtocol, SecurityAssociation, XfrmMode, XfrmSaBuilder};
use nlink::netlink::{Connection, Xfrm};
use subm_plan::ipsec::Association;

use crate::netlink::Netlink;
use crate::{KernelError, Lack};

/// The associations of the network namespace of the thread that opened it; it stays on that thread and must not be
/// used inside an async runtime.
pub struct Associations {
    xfrm: Connection<Xfrm>,
    netlink: Netlink,
}

impl std::fmt::Debug for Associations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Associations")
    }
}

impl Associations {
    /// Opens the network namespace of the calling thread.
    pub fn open() -> Result<Self, KernelError> {
        let netlink = Netlink::open()?;
        let xfrm = netlink.inside(Connection::<Xfrm>::new);
        let xfrm = xfrm.map_err(KernelError::netlink("open an XFRM socket"))?;
        Ok(Self { xfrm, netlink })
    }

    /// The ESP associations of one link, with the bytes that went through each.
    pub fn list(&self, interface: u32) -> Result<BTreeMap<Association, u64>, KernelError> {
        let all = self.netlink.wait(self.xfrm.get_security_associations());
        let all = all.map_err(KernelError::netlink("list security associations"))?;
        let ours = all.into_iter().filter(|one| one.if_id == Some(interface));
        Ok(ours.filter_map(|one| esp(&one)).collect())
    }
}

/// An association that is in use: while one is negotiated the kernel keeps its place under the index 0, or in
/// transport mode.
fn esp(one: &SecurityAssociation) -> Option<(Association, u64)> {
    let ready = one.protocol == IpsecProtocol::Esp && one.mode == XfrmMode::Tunnel && one.spi != 0;
    let destination = one.dst_addr.filter(|_| ready)?;
    Some((Association { destination, spi: one.spi }, one.bytes))
}

/// Asks for an ESP association whose key has no length: a kernel that knows ESP and its cipher finds fault with the
/// key, any other says that it has no such protocol.
pub(crate) fn probe(netlink: &Netlink) -> Option<Lack> {
    let xfrm = match netlink.inside(Connection::<Xfrm>::new) {
        Ok(xfrm) => xfrm,
        Err(error) => return Some(Lack::of(&error)),
    };
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let impossible = XfrmSaBuilder::new(here, here, 0xffff_fff0, IpsecProtocol::Esp)
        .mode(XfrmMode::Tunnel)
        .aead_aes_gcm(&[0; 1], 128);
    match netlink.wait(xfrm.add_sa(impossible)) {
        Ok(()) => {
            // It took what it should not have; it does ESP, and nothing is left behind.
            let removed = netlink.wait(xfrm.del_sa(here, here, 0xffff_fff0, IpsecProtocol::Esp));
            removed.err().map(|error| Lack::of(&error))
        }
        Err(error) if error.is_invalid_argument() => None,
        Err(error) => Some(Lack::of(&error)),
    }
}
