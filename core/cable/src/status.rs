//! What is said of a tunnel: no more than was measured.

use std::net::IpAddr;
use std::time::Duration;

/// What probes through a tunnel found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// There are none.
    No(Unprobed),
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

/// Why there are no probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unprobed {
    /// Health checks are off.
    SwitchedOff,
    /// The remote cluster publishes no address that would answer.
    NoAddress,
    /// This gateway has no socket to ask by.
    NoSocket,
}

impl Unprobed {
    /// `not probed`, and why.
    pub const fn words(self) -> &'static str {
        match self {
            Self::SwitchedOff => "not probed",
            Self::NoAddress => "not probed (the remote cluster publishes no health-check address)",
            Self::NoSocket => "not probed (this gateway cannot open an ICMP socket)",
        }
    }
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
    /// A status from the probes alone; `unprobed` tells what stands where there are none.
    pub fn from_probes(probed: Probed, unprobed: impl FnOnce(Unprobed) -> Self) -> Self {
        let (state, message) = match probed {
            Probed::No(why) => return unprobed(why),
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
pub fn unprobed(why: Unprobed) -> Status {
    Status { state: State::Unknown, message: format!("{}, nothing measured", why.words()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_make_it_connected() {
        let address = IpAddr::from([10, 1, 0, 1]);
        let (span, allowed) = (Duration::from_millis(1250), Duration::from_secs(6));
        let say = |probed| {
            let status = Status::from_probes(probed, unprobed);
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
        assert_eq!(say(Probed::No(Unprobed::SwitchedOff)), "Unknown: not probed, nothing measured");
        let nothing_to_ask = say(Probed::No(Unprobed::NoAddress));
        assert!(nothing_to_ask.contains("publishes no health-check address"), "{nothing_to_ask}");
    }
}
