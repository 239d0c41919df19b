//! What a daemon says: lines on standard error, as much as was asked for.

use std::str::FromStr as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How much is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// What changed and what is wrong.
    #[default]
    Normal,
    /// Also why.
    Debug,
    /// Also what libraries do.
    Trace,
}

impl Verbosity {
    /// What `SUBMARINER_VERBOSITY` and `SUBMARINER_DEBUG` ask for: 2 is normal, `true` counts as 3; words that
    /// are no number count as absent.
    pub fn from_settings(verbosity: Option<&str>, debug: Option<&str>) -> Self {
        let level = verbosity.and_then(|text| text.trim().parse::<u8>().ok()).unwrap_or(2);
        match (level, debug) {
            (0..=2, Some("true")) | (3, _) => Self::Debug,
            (0..=2, _) => Self::Normal,
            (4.., _) => Self::Trace,
        }
    }

    fn filter(self) -> Targets {
        let (ours, theirs) = match self {
            Self::Normal => (Level::INFO, Level::WARN),
            Self::Debug => (Level::DEBUG, Level::INFO),
            Self::Trace => (Level::TRACE, Level::DEBUG),
        };
        Targets::new().with_default(theirs).with_target("subm", ours)
    }
}

/// Starts logging; `RUST_LOG` (`target=level,…`) is stronger than the verbosity.
pub fn start(verbosity: Verbosity) -> Result<(), TryInitError> {
    let (filter, wrong) = match std::env::var("RUST_LOG").map(|text| Targets::from_str(&text)) {
        Ok(Ok(filter)) => (filter, None),
        Ok(Err(wrong)) => (verbosity.filter(), Some(wrong)),
        Err(_) => (verbosity.filter(), None),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    if let Some(wrong) = wrong {
        tracing::warn!(error = %wrong, "RUST_LOG cannot be read and is ignored; write target=level,…");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_follows_the_environment_of_the_manifests() {
        let of = Verbosity::from_settings;
        assert_eq!(of(None, None), Verbosity::Normal);
        assert_eq!(of(Some("2"), Some("false")), Verbosity::Normal);
        assert_eq!(of(Some("1"), Some("true")), Verbosity::Debug);
        assert_eq!(of(Some("3"), None), Verbosity::Debug);
        assert_eq!(of(Some("9"), Some("true")), Verbosity::Trace);
        assert_eq!(of(Some("many"), None), Verbosity::Normal);
    }

    #[test]
    fn normal_verbosity_shows_our_changes_and_others_warnings() {
        let filter = Verbosity::Normal.filter();
        assert!(filter.would_enable("subm_runtime::converger", &Level::INFO));
        assert!(filter.would_enable("submariner_gateway", &Level::INFO));
        assert!(!filter.would_enable("subm_runtime", &Level::DEBUG));
        assert!(!filter.would_enable("hyper_util::client", &Level::INFO));
    }
}
