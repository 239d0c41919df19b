//! The forms that results come in.

use std::io::{ErrorKind, Write, stdout};

use clap::ValueEnum;
use serde::Serialize;

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people
    #[default]
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// Writes text to stdout. A reader that went away, as `head` does, is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| anyhow::anyhow!("cannot write to stdout: {error}")),
    }
}

/// Writes a value to stdout as JSON or YAML; as a table it has been written already.
pub(crate) fn print_value(value: &impl Serialize, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => Ok(()),
        Format::Json => print(&(serde_json::to_string_pretty(value)? + "\n")),
        Format::Yaml => print(&serde_saphyr::to_string(value)?),
    }
}
