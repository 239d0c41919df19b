//! The submariner program: every daemon, by sub-command or by the name that it is called by.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::error;

/// Submariner joins the networks of Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(name = "submariner", version, propagate_version = true)]
struct Program {
    #[command(subcommand)]
    daemon: Daemon,
}

#[derive(Debug, Subcommand)]
enum Daemon {
    /// Keeps the cables to other clusters
    Gateway(Box<submariner_gateway::Settings>),
    /// Routes and filters packets on every node
    RouteAgent(Box<submariner_route_agent::Arguments>),
    /// The hub without a Kubernetes cluster
    Broker(Box<submariner_broker::Arguments>),
}

/// `EX_USAGE` in `sysexits.h`.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let program = match Program::try_parse_from(arguments(std::env::args_os())) {
        Ok(program) => program,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            return if error.print().is_ok() { code } else { ExitCode::FAILURE };
        }
    };
    let ended: anyhow::Result<()> = match program.daemon {
        Daemon::Gateway(settings) => submariner_gateway::run(&settings),
        Daemon::RouteAgent(arguments) => submariner_route_agent::run(*arguments),
        Daemon::Broker(arguments) => submariner_broker::run(*arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            let usage = error.is::<submariner_gateway::InvalidSettings>()
                || error.is::<submariner_broker::InvalidSettings>()
                || error.is::<submariner_route_agent::InvalidSettings>();
            if usage { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// Called as `submariner-NAME`, the program is that daemon.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = given.collect();
    let called = arguments.first().and_then(|path| Path::new(path).file_name()?.to_str());
    let daemon = match called.and_then(|name| name.strip_prefix("submariner-")) {
        // COMPAT: the name of the Go implementation's program.
        Some("routeagent") => Some("route-agent".to_owned()),
        daemon => daemon.map(str::to_owned),
    };
    if let Some(daemon) = daemon {
        arguments.insert(1, daemon.into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_chooses_the_daemon() {
        let of = |given: &[&str]| arguments(given.iter().map(OsString::from)).join(&OsString::from(" "));
        assert_eq!(
            of(&["/usr/bin/submariner", "route-agent", "-v", "3"]),
            "/usr/bin/submariner route-agent -v 3"
        );
        assert_eq!(of(&["submariner-routeagent", "-v", "3"]), "submariner-routeagent route-agent -v 3");
        assert_eq!(of(&["submariner-gateway"]), "submariner-gateway gateway");
    }
}
