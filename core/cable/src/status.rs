//! What is said of a tunnel: no more than was measured.

use std::net::IpAddr;
use std::time::Duration;

/// What probes through a tunnel found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// There are none: health checks are off, or the remote names no address that answers.
    No,
    /// None was answered yet; it is too early to say that none will be.
    Pending(IpAddr),
    /// They are answered.
    Answered,
    /// They are not answered.
    Silent {
        /// The address that should answer.
        address: IpAddr,
        /// For how long.
        span: Duration,
        /// Silence that the user allows; longer is told in the words of the Go implementation.
        allowed: Duration,
    },
}

/// The state of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Probes through it are answered, or its driver can tell.
    Connected,
    /// It is being set up.
    Connecting,
    /// Nothing comes through.
    Error,
    /// Nobody measures.
    Unknown,
}

/// The state of a tunnel with a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Why; empty when it is connected.
    pub message: String,
}

impl Status {
    /// A status from the probes alone; `unprobed` is what stands where there are none.
    pub fn from_probes(probed: Probed, unprobed: Self) -> Self {
        let (state, message) = match probed {
            Probed::No => return unprobed,
            Probed::Pending(address) => {
                (State::Connecting, format!("waiting for the first answer from {address}"))
            }
            Probed::Answered => (State::Connected, String::new()),
            // COMPAT: people and tools search for this sentence.
            Probed::Silent { address, span, allowed } if span > allowed => {
                (State::Error, format!("Failed to successfully ping the remote endpoint IP \"{address}\""))
            }
            Probed::Silent { address, span, .. } => {
                (State::Error, format!("no answer from {address} for {:.1} s", span.as_secs_f64()))
            }
        };
        Self { state, message }
    }
}

/// What is said of a tunnel that nobody probes and whose driver has no evidence of its own.
pub fn unprobed() -> Status {
    Status { state: State::Unknown, message: "not probed, nothing measured".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_make_it_connected() {
        let address = IpAddr::from([10, 1, 0, 1]);
        let (span, allowed) = (Duration::from_millis(1250), Duration::from_secs(6));
        let say = |probed| {
            let status = Status::from_probes(probed, unprobed());
            format!("{:?}: {}", status.state, status.message)
        };
        assert_eq!(say(Probed::Answered), "Connected: ");
        assert_eq!(say(Probed::Pending(address)), "Connecting: waiting for the first answer from 10.1.0.1");
        assert_eq!(
            say(Probed::Silent { address, span, allowed }),
            "Error: no answer from 10.1.0.1 for 1.2 s"
        );
        assert_eq!(
            say(Probed::Silent { address, span: allowed * 2, allowed }),
            "Error: Failed to successfully ping the remote endpoint IP \"10.1.0.1\""
        );
        assert_eq!(say(Probed::No), "Unknown: not probed, nothing measured");
    }
}
