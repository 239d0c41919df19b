//! A backup: everything that a server keeps at one moment, as lines of JSON that end with a checksum.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const FORMAT: &str = "submariner-hub-backup";
const VERSION: u64 = 1;

/// The objects of a server and its newest version.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// The version of the newest write.
    pub version: u64,
    /// The objects, with their own versions.
    pub objects: Vec<Value>,
}

/// What a backup holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backup {
    /// Files by name, such as keys: without them every credential would be worthless after a restore.
    pub files: BTreeMap<String, String>,
    /// The objects.
    pub contents: Contents,
}

/// A text is no whole backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// The first line is not that of a backup.
    #[error("it is no backup of a hub")]
    Foreign,
    /// A later version of this program made it.
    #[error("its format is {0}, which this version does not know")]
    Format(u64),
    /// The end is missing or the text was changed.
    #[error("it is not whole: its checksum does not match")]
    Torn,
    /// A line is no object.
    #[error("line {0} is no object")]
    Line(usize),
}

impl Backup {
    /// The lines.
    pub fn to_text(&self) -> String {
        let head = json!({
            "format": FORMAT,
            "formatVersion": VERSION,
            "resourceVersion": self.contents.version.to_string(),
            "files": self.files,
        });
        let mut text = format!("{head}\n");
        for object in &self.contents.objects {
            let _infallible = writeln!(text, "{object}");
        }
        let end = json!({"objects": self.contents.objects.len(), "sha256": checksum(&text)});
        let _infallible = writeln!(text, "{end}");
        text
    }

    /// Reads the lines and checks that none is missing.
    pub fn from_text(text: &str) -> Result<Self, BackupError> {
        let (first, _) = text.split_once('\n').ok_or(BackupError::Foreign)?;
        let head: Value = serde_json::from_str(first).map_err(|_| BackupError::Foreign)?;
        if head["format"] != FORMAT {
            return Err(BackupError::Foreign);
        }
        let format = head["formatVersion"].as_u64().unwrap_or_default();
        if format != VERSION {
            return Err(BackupError::Format(format));
        }
        let whole = text.strip_suffix('\n').ok_or(BackupError::Torn)?;
        let start_of_end = whole.rfind('\n').ok_or(BackupError::Torn)? + 1;
        let (before, end) = whole.split_at(start_of_end);
        let end: Value = serde_json::from_str(end).map_err(|_| BackupError::Torn)?;
        if end["sha256"] != checksum(before) {
            return Err(BackupError::Torn);
        }
        let lines = before.lines().enumerate().skip(1);
        let objects = lines.map(|(index, line)| match serde_json::from_str(line) {
            Ok(object @ Value::Object(_)) => Ok(object),
            _ => Err(BackupError::Line(index + 1)),
        });
        let objects: Vec<Value> = objects.collect::<Result<_, _>>()?;
        let version = head["resourceVersion"].as_str().and_then(|text| text.parse().ok());
        let files = serde_json::from_value(head["files"].clone()).map_err(|_| BackupError::Foreign)?;
        Ok(Self { files, contents: Contents { version: version.ok_or(BackupError::Foreign)?, objects } })
    }
}

fn checksum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().fold(String::new(), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let object =
            |name: &str| json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1\n2"}});
        Backup {
            files: [("ca.crt".to_owned(), "-----\nx\n".to_owned())].into(),
            contents: Contents { version: 77, objects: vec![object("a"), object("b")] },
        }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Backup::from_text(&backup().to_text()), Ok(backup()));
    }

    #[test]
    fn a_backup_that_lacks_or_changed_anything_is_refused() {
        let text = backup().to_text();
        for length in 0..text.len() {
            assert!(Backup::from_text(&text[..length]).is_err(), "{length} of {} bytes", text.len());
        }
        assert_eq!(Backup::from_text(&text.replace("\"a\"", "\"c\"")), Err(BackupError::Torn));
        let later = text.replace("\"formatVersion\":1", "\"formatVersion\":2");
        assert_eq!(Backup::from_text(&later), Err(BackupError::Format(2)));
    }
}
