//! Playgrounds on good and bad wires, and in other shapes: the checks hold there too.

use anyhow::{Result, ensure};
use subm_e2e::{Playground, program};

const DRIVERS: [&str; 2] = ["vxlan", "wireguard"];

/// Runs checks; all must pass.
fn checked(playground: &Playground, checks: &[&str]) -> Result<String> {
    let checked = playground.command(&["check"]).args(checks).output()?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    let complained = String::from_utf8_lossy(&checked.stderr).into_owned();
    ensure!(checked.status.success(), "{checks:?}: {said}{complained}");
    Ok(said)
}

/// Runs checks of a playground of this shape; all must pass.
fn holds(shape: &[&str], checks: &[&str]) -> Result<String> {
    let playground = Playground::up(&program("subctl")?, shape)?;
    let said = checked(&playground, checks)?;
    playground.down()?;
    Ok(said)
}

#[test]
fn gigabyte_arrives_whole_through_each_cable() -> Result<()> {
    for driver in DRIVERS {
        let said = holds(
            &["--cable-driver", driver, "--families", "dual"],
            &["--only", "transfer", "--transfer", "1gb"],
        )?;
        ensure!(said.matches("1000.0 MB arrived, with their digest").count() == 4, "{said}");
    }
    Ok(())
}

#[test]
fn lossy_wire_delays_and_spoils_nothing() -> Result<()> {
    for driver in DRIVERS {
        let said = holds(
            &["--cable-driver", driver, "--loss", "east=5%", "--workers", "0"],
            &["--only", "payload/"],
        )?;
        ensure!(said.contains("10 of 10 checks passed") && said.contains("4.0 MB arrived"), "{said}");
    }
    Ok(())
}

#[test]
fn hub_may_be_on_a_node_of_a_member() -> Result<()> {
    for place in ["east/gateway", "west/worker"] {
        let said = holds(&["--hub", place], &["--only", "node/"])?;
        ensure!(said.contains("4 of 4 checks passed"), "{said}");
        let said = holds(&["--hub", place], &["--only", "outage/hub"])?;
        ensure!(said.contains("1 of 1 checks passed"), "{said}");
    }
    Ok(())
}

#[test]
fn what_is_too_narrow_for_vxlan_over_ipv6_is_told_and_nothing_else_fails() -> Result<()> {
    let shape = ["--families", "ipv6", "--workers", "0", "--uplink-mtu", "1280"];
    let said = holds(&shape, &["--only", "payload/"])?;
    ensure!(said.contains("larger ones do not pass") && said.contains("2 skipped"), "{said}");
    ensure!(said.contains("links of 1350 bytes") && said.contains("one here has 1280"), "{said}");
    let shape = ["--families", "ipv6", "--mtu", "1280", "--uplink-mtu", "1280"];
    for (driver, workers, who) in
        [("vxlan", "0", "Gateway"), ("vxlan", "1", "Gateway"), ("wireguard", "1", "RouteAgent")]
    {
        let shape = [&shape[..], &["--cable-driver", driver, "--workers", workers]].concat();
        let playground = Playground::up(&program("subctl")?, &shape)?;
        let said = checked(&playground, &["--only", "link/"])?;
        ensure!(said.matches(&format!("the {who} says: ")).count() == 2, "{said}");
        let said = checked(&playground, &["--only", "payload/"])?;
        ensure!(said.matches("larger ones do not pass").count() == 4, "{said}");
        ensure!(said.matches("100.0 MB arrived, with their digest").count() == 2, "{said}");
        playground.down()?;
    }
    Ok(())
}
