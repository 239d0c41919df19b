//! What can fail in the lab.

use std::io;

/// What failed, where, and why.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The kernel refused a change of links, addresses or routes.
    #[error("{host}: {what}")]
    Kernel {
        /// The namespace.
        host: String,
        /// What was tried, as iproute2 would be told.
        what: String,
        /// The kernel's answer.
        #[source]
        source: nlink::Error,
    },
    /// A socket, file or thread of a host.
    #[error("{host}: {what}")]
    Io {
        /// The namespace.
        host: String,
        /// What was tried.
        what: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The process could not be given a world of its own.
    #[error("cannot {what}{}", remedy.map(|text| format!(": {text}")).unwrap_or_default())]
    Ground {
        /// What was tried.
        what: &'static str,
        /// What to do about it, where that is known.
        remedy: Option<&'static str>,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl LabError {
    pub(crate) fn kernel(host: &str, what: impl Into<String>) -> impl FnOnce(nlink::Error) -> Self {
        let (host, what) = (host.to_owned(), what.into());
        move |source| Self::Kernel { host, what, source }
    }

    pub(crate) fn io(host: &str, what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let (host, what) = (host.to_owned(), what.into());
        move |source| Self::Io { host, what, source }
    }

    pub(crate) fn ground(what: &'static str) -> impl FnOnce(nix::Error) -> Self {
        move |errno| Self::Ground { what, remedy: None, source: errno.into() }
    }
}
