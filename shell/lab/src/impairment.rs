//! Wires that lose packets and take only so many bits per second.

use nlink::netlink::nftables::{
    BaseChain, ByteorderOp, Chain, CmpOp, Expr, Family, FilterHook, NumgenKind, Priority, Register, Rule,
};
use nlink::netlink::tc::TbfConfig;
use nlink::{Bytes, Connection, Nftables, Rate};

use crate::{Host, LabError, Veth};

/// What is wrong with a wire, in each direction alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Packets that are lost, of 100,000.
    pub lost_of_100_000: u32,
    /// Bits per second that pass, where there is a limit.
    pub bits_per_second: Option<u64>,
}

const HUNDRED_THOUSAND: u32 = 100_000;
/// How long a packet waits at the most where a wire is slow.
const LATENCY_MS: u64 = 50;

impl Veth<'_> {
    /// Makes the wire a bad one.
    ///
    /// KERNEL: both `numgen` and `tbf` act on what the link is given, and that may be one packet of many segments:
    /// on an impaired link each packet is one segment.
    pub async fn impair(&self, impairment: &Impairment) -> Result<(), LabError> {
        for (host, link) in [self.here, self.there] {
            host.one_segment_at_a_time(link).await?;
            if impairment.lost_of_100_000 > 0 {
                host.lose(link, impairment.lost_of_100_000).await?;
            }
            if let Some(rate) = impairment.bits_per_second {
                host.limit(link, rate, self.mtu).await?;
            }
        }
        Ok(())
    }
}

impl Host {
    async fn one_segment_at_a_time(&self, link: &str) -> Result<(), LabError> {
        let what = format!("ip link set {link} gso_max_segs 1");
        let index = self.index_of(link).await?;
        let netlink = self.netlink()?;
        netlink.set_link_gso_max_segs_by_index(index, 1).await.map_err(LabError::kernel(self.name(), what))
    }

    /// What arrives by the link is lost at random: the other end loses what goes the other way.
    async fn lose(&self, link: &str, of_100_000: u32) -> Result<(), LabError> {
        let (table, chain) = (format!("lab-{link}"), "loss");
        let failed = LabError::kernel(self.name(), format!("lose packets of {link}"));
        let work = async {
            let hook = BaseChain::filter(FilterHook::ingress(link), Priority::Filter);
            let chain_of_link = Chain::new(table.as_str(), chain)?.family(Family::Netdev).base(hook);
            let register = Register::R0;
            let draw = Expr::Numgen {
                dreg: register,
                kind: NumgenKind::Random,
                modulus: HUNDRED_THOUSAND,
                offset: 0,
            };
            let order =
                Expr::Byteorder { sreg: register, dreg: register, op: ByteorderOp::Hton, len: 4, size: 4 };
            let less = Expr::Cmp { sreg: register, op: CmpOp::Lt, data: of_100_000.to_be_bytes().to_vec() };
            let rule = Rule::new(&table, chain).family(Family::Netdev).then(draw).then(order).then(less);
            let nft = self.nftables()?;
            nft.transaction()
                .add_table(&table, Family::Netdev)
                .add_chain(chain_of_link)
                .add_rule(rule.counter().drop())
                .commit(&nft)
                .await
        };
        work.await.map_err(failed)
    }

    /// What leaves by the link waits for its turn, and is lost where it would wait too long.
    async fn limit(&self, link: &str, bits_per_second: u64, mtu: u32) -> Result<(), LabError> {
        let rate = Rate::bits_per_sec(bits_per_second);
        // One tick's worth, so that the rate can be kept, and no less than a few packets with their headers.
        let burst = (rate.as_bytes_per_sec() / 250).max(u64::from(mtu + 64) * 4);
        let limit = rate.as_bytes_per_sec() * LATENCY_MS / 1000 + burst;
        let tbf = TbfConfig::new().rate(rate).burst(Bytes::new(burst)).limit(Bytes::new(limit)).build();
        let what = format!("tc qdisc add dev {link} root tbf rate {bits_per_second}bit");
        self.netlink()?.add_qdisc(link, tbf).await.map_err(LabError::kernel(self.name(), what))
    }

    pub(crate) fn nftables(&self) -> nlink::Result<Connection<Nftables>> {
        Connection::<Nftables>::new_in(self.netns())
    }
}
