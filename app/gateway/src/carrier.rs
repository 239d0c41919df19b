//! What is told of who carries the packets of WireGuard cables.

use crate::conditions::Finding;
use crate::view::{Cables, Outcome};

/// The condition; absent where no WireGuard cable is planned.
pub(crate) fn finding(outcome: &Outcome) -> Option<Finding> {
    const KIND: &str = "CarriedByKernel";
    let message =
        "the gateway's process carries the packets of wireguard cables: they stand still while it is down";
    Some(if in_kernel(outcome)? {
        Finding::holds(KIND, "KernelWireguard", "")
    } else {
        Finding::fails(KIND, "UserspaceWireguard", message)
    })
}

/// Whether the kernel carries them; nothing where no WireGuard cable is planned.
pub(crate) fn in_kernel(outcome: &Outcome) -> Option<bool> {
    let Cables::Keep(plan) = &outcome.cables else { return None };
    plan.wireguard_in_kernel()
}

#[cfg(test)]
mod tests {
    use subm_cable::WireguardKeys;
    use subm_types::{Backend, PresharedKey, PrivateKey, PublicKey};

    use super::*;
    use crate::view::View;
    use crate::view::tests::active;

    fn told(adjust: impl FnOnce(&mut View)) -> Option<(&'static str, String)> {
        let mut view = active(Vec::new());
        view.config.driver = Backend::Wireguard;
        view.wireguard = Some(WireguardKeys {
            private: PrivateKey::new([1; 32]),
            public: PublicKey([2; 32]),
            preshared: PresharedKey::new([3; 32]),
        });
        adjust(&mut view);
        finding(&view.outcome()).map(|finding| (finding.holds.as_str(), finding.reason))
    }

    #[test]
    fn who_carries_the_packets_is_told_where_cables_are_wireguard() {
        let facts = |wireguard| move |view: &mut View| view.facts.as_mut().unwrap().wireguard = wireguard;
        assert_eq!(told(facts(true)), Some(("True", "KernelWireguard".to_owned())));
        assert_eq!(told(facts(false)), Some(("False", "UserspaceWireguard".to_owned())));
        let forced = |view: &mut View| {
            facts(true)(view);
            view.config.wireguard_carrier = "userspace".into();
        };
        assert_eq!(told(forced), Some(("False", "UserspaceWireguard".to_owned())));
        assert_eq!(told(|view| view.config.driver = Backend::Vxlan), None);
    }
}
