//! Why a container does not run, as its status says it.

use std::fmt;

/// A reason in the words of a kubelet, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    /// The manifest asks for something that is not there, or not done here.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { reason: "CreateContainerConfigError", message: message.into() }
    }

    pub(crate) fn image(message: impl Into<String>) -> Self {
        Self { reason: "ErrImagePull", message: message.into() }
    }

    pub(crate) fn create(message: impl fmt::Display) -> Self {
        Self { reason: "CreateContainerError", message: message.to_string() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}
