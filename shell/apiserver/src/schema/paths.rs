//! The dotted paths of fields in messages.

/// A field below a path: `spec.ports`.
pub(crate) fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A free key below a path: `metadata.labels[app]`.
pub(crate) fn key(path: &str, name: &str) -> String {
    format!("{path}[{name}]")
}

/// An element below a path: `spec.ports[0]`.
pub(crate) fn index(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}
