//! Prints what the running kernel lacks of what the tests in namespaces need, one line each; nothing where it has all.
//! With the argument `ipsec`, of what IPsec cables need; with `wireguard`, of WireGuard.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;

use subm_kernel::{Capability, Kernel};

const NEEDED: &[Capability] = &[
    Capability::Nftables,
    Capability::Nat,
    Capability::MssClamp,
    Capability::Vxlan,
    Capability::Bridge,
    Capability::Conntrack,
];

const IPSEC: &[Capability] = &[Capability::Xfrm, Capability::Esp];

fn main() -> Result<(), Box<dyn Error>> {
    let capabilities = Kernel::open()?.probe();
    let asked = std::env::args().nth(1);
    let needed = match asked.as_deref() {
        Some("ipsec") => IPSEC,
        Some("wireguard") => &[Capability::Wireguard],
        Some(_) | None => NEEDED,
    };
    for (capability, lack) in capabilities.missing().filter(|(capability, _)| needed.contains(capability)) {
        println!("{} ({lack})", lack.remedy(capability));
    }
    Ok(())
}
