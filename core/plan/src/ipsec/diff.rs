//! From what the daemon has to what it shall keep.

use std::fmt;

use subm_types::IkeSecret;

use super::{ConnectionName, IpsecConnection, IpsecPlan, IpsecRole, IpsecState};

/// One change, complete in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IpsecStep {
    /// Starts the daemon. Everything else waits until it answers.
    Start,
    /// Gives the daemon the secret.
    LoadSecret(IkeSecret),
    /// Makes the daemon hear by the addresses that the host has now.
    Listen,
    /// Takes a connection away, with its associations.
    Delete(String),
    /// Gives the daemon a connection, and has it set up unless the other end does that.
    Add(ConnectionName, IpsecConnection),
    /// Has a connection set up that stands and is down.
    Initiate(ConnectionName),
}

impl fmt::Display for IpsecStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("ike start"),
            Self::LoadSecret(_) => f.write_str("ike secret (hidden)"),
            Self::Listen => f.write_str("ike listen"),
            Self::Delete(name) => write!(f, "ike delete {name}"),
            Self::Add(name, connection) => write!(f, "ike add {name} {connection}"),
            Self::Initiate(name) => write!(f, "ike initiate {name}"),
        }
    }
}

/// The steps from a state to a plan. What goes, goes first: the daemon takes no second connection for a pair of
/// subnets. Nothing passes in clear meanwhile, for the packets of a pair enter a link that knows no other way.
///
/// [`IpsecStep::Initiate`] stands for each connection that is down and idle; the daemon itself tries on, so whoever
/// takes the steps leaves time between them.
pub fn diff(state: &IpsecState, plan: &IpsecPlan) -> Vec<IpsecStep> {
    let Some(daemon) = &state.daemon else {
        return if plan.connections.is_empty() { Vec::new() } else { vec![IpsecStep::Start] };
    };
    let mut steps = Vec::new();
    let current = |name: &ConnectionName, wanted: &IpsecConnection| {
        state.connection(name).is_some_and(|found| found.mark == Some(wanted.mark()))
    };
    if let Some(secret) = plan.secret.as_ref().filter(|secret| state.secret.as_ref() != Some(secret)) {
        steps.push(IpsecStep::LoadSecret(secret.clone()));
    }
    let deaf = |wanted: &IpsecConnection| {
        wanted.local.address.is_some_and(|address| !daemon.listening.contains(&address))
    };
    if plan.connections.values().any(deaf) {
        steps.push(IpsecStep::Listen);
    }
    let kept = |name: &str| {
        let mut wanted = plan.connections.iter();
        wanted.any(|(one, wanted)| one.as_str() == name && current(one, wanted))
    };
    let named = |name: &str| plan.connections.keys().any(|one| one.as_str() == name);
    let ours = |mark: Option<u32>| mark.is_some_and(IpsecConnection::is_mark);
    for (name, found) in &daemon.connections {
        if !kept(name) && (ours(found.mark) || named(name)) {
            steps.push(IpsecStep::Delete(name.clone()));
        }
    }
    for (name, wanted) in &plan.connections {
        if !current(name, wanted) {
            steps.push(IpsecStep::Add(name.clone(), wanted.clone()));
        }
    }
    for (name, wanted) in plan.connections.iter().filter(|(name, wanted)| current(name, wanted)) {
        let begins = wanted.role != IpsecRole::Server;
        let idle = state.connection(name).is_some_and(|found| !found.negotiating && !state.pair(found).up);
        if begins && idle {
            steps.push(IpsecStep::Initiate(name.clone()));
        }
    }
    steps
}
