//! What an API server refused, told apart by what a person can do about it.

use std::error::Error as StdError;
use std::fmt;

use kube::core::Status;

pub use crate::certificate::Untrusted;

/// What was asked of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The verb as RBAC names it: `list`, `patch`, ….
    pub verb: &'static str,
    /// The resource with its group, as RBAC names it: `endpoints.submariner.io`.
    pub resource: String,
    /// The namespace, empty for kinds that have none.
    pub namespace: String,
    /// The object, empty for lists and watches.
    pub name: String,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in namespace {}", self.namespace)?;
        }
        Ok(())
    }
}

/// Why the API did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nobody answers.
    #[error(
        "{server} cannot be reached to {action}: {reason}; check the address, the way to it and the firewalls between"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// What was asked.
        action: Box<Action>,
        /// The system's words.
        reason: String,
    },
    /// Its certificate is not trusted.
    #[error("{server} {cause}")]
    Certificate {
        /// The server.
        server: String,
        /// What is wrong with it.
        cause: Box<Untrusted>,
    },
    /// It does not know the token.
    #[error(
        "{server} does not accept the credential (401) to {action}: {reason}; renew the token or join again"
    )]
    Unauthorized {
        /// The server.
        server: String,
        /// What was asked.
        action: Box<Action>,
        /// The server's words.
        reason: String,
    },
    /// The credential may not do this.
    #[error("{server} forbids to {action} (403): {reason}; grant the verb {} on {} to the credential's account", action.verb, action.resource)]
    Forbidden {
        /// The server.
        server: String,
        /// What was asked.
        action: Box<Action>,
        /// The server's words.
        reason: String,
    },
    /// There is no such object, or no such kind.
    #[error("{server} has nothing to {action} (404): {reason}")]
    NotFound {
        /// The server.
        server: String,
        /// What was asked.
        action: Box<Action>,
        /// The server's words.
        reason: String,
    },
    /// Somebody else wrote first, or the object exists already.
    #[error("{server} cannot {action}, the object changed meanwhile (409): {reason}")]
    Conflict {
        /// The server.
        server: String,
        /// What was asked.
        action: Box<Action>,
        /// The server's words.
        reason: String,
    },
    /// The server refuses the object as it is.
    #[error("{server} refuses to {action} (422): {reason}")]
    Invalid {
        /// The server.
        server: String,
        /// What was asked.
        action: Box<Action>,
        /// The server's words, with the fields.
        reason: String,
    },
    /// Anything else; trying again may help.
    #[error("{server} failed to {action}: {reason}")]
    Failed {
        /// The server.
        server: String,
        /// What was asked.
        action: Box<Action>,
        /// The server's words.
        reason: String,
    },
}

impl ApiError {
    /// Sorts what the client library reports.
    pub fn sort(server: &str, action: Action, error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::refused(server, action, status);
        }
        let server = server.to_owned();
        if let Some(cause) = find::<Untrusted>(error) {
            return Self::Certificate { server, cause: Box::new(cause.clone()) };
        }
        let (action, reason) = (Box::new(action), innermost(error));
        match error {
            kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => {
                Self::Unreachable { server, action, reason }
            }
            kube::Error::Auth(_) => Self::Unauthorized { server, action, reason },
            kube::Error::Api(_)
            | kube::Error::ProxyProtocolUnsupported { .. }
            | kube::Error::ProxyProtocolDisabled { .. }
            | kube::Error::FromUtf8(_)
            | kube::Error::LinesCodecMaxLineLengthExceeded
            | kube::Error::HttpError(_)
            | kube::Error::SerdeError(_)
            | kube::Error::BuildRequest(_)
            | kube::Error::InferConfig(_)
            | kube::Error::Discovery(_)
            | kube::Error::RustlsTls(_)
            | kube::Error::TlsRequired
            | kube::Error::InferKubeconfig(_) => Self::Failed { server, action, reason },
        }
    }

    /// Sorts an answer that refuses.
    pub fn refused(server: &str, action: Action, status: &Status) -> Self {
        let (server, action, reason) = (server.to_owned(), Box::new(action), status.message.clone());
        match status.code {
            401 => Self::Unauthorized { server, action, reason },
            403 => Self::Forbidden { server, action, reason },
            404 => Self::NotFound { server, action, reason },
            409 => Self::Conflict { server, action, reason },
            400 | 422 => Self::Invalid { server, action, reason },
            code => Self::Failed { server, action, reason: format!("{reason} ({code})") },
        }
    }

    /// A CamelCase word for conditions, events and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "Unreachable",
            Self::Certificate { .. } => "UntrustedCertificate",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden { .. } => "Forbidden",
            Self::NotFound { .. } => "NotFound",
            Self::Conflict { .. } => "Conflict",
            Self::Invalid { .. } => "Invalid",
            Self::Failed { .. } => "Failed",
        }
    }

    /// Tells whether the same request may succeed later without anybody's help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Conflict { .. } | Self::Failed { .. })
    }

    /// Tells whether the refusal concerns the object; otherwise every other request would fare alike.
    pub const fn is_about_the_object(&self) -> bool {
        !matches!(self, Self::Unreachable { .. } | Self::Certificate { .. } | Self::Unauthorized { .. })
    }

    /// Tells whether there is no such object.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Tells whether somebody else wrote first.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// Looks for a cause of a type, also inside I/O and TLS errors, which hide theirs from `source`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && let Some(inner) = io.get_ref()
        {
            return find(inner as &(dyn StdError + 'static));
        }
        if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) =
            error.downcast_ref::<rustls::Error>()
        {
            return other.0.downcast_ref::<T>();
        }
        next = error.source();
    }
    None
}

/// The words of the last cause: the outer ones only say that something failed.
fn innermost(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}
