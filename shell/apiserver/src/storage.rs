//! The objects on disk: one row per object in a file of `redb`, whose every page carries a checksum.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde_json::Value;

use crate::backup::Contents;

mod journal;

pub(crate) use journal::Journal;

/// Objects as JSON text by resource, namespace and name.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// The version of the newest write in the file.
const VERSION: &str = "version";
/// The layout of the tables.
const LAYOUT: &str = "layout";
const CURRENT_LAYOUT: u64 = 1;
/// Everything is read once, at the start, so pages need not be kept.
const CACHE: usize = 8 * 1024 * 1024;

/// The file cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Another process has it.
    #[error("{} is in use by another process; end that one first", .0.display())]
    InUse(PathBuf),
    /// It should be there and is not.
    #[error("{} is missing; put it back, or restore a backup", .0.display())]
    Missing(PathBuf),
    /// It is there and should not be.
    #[error("{} is there already; move it away first", .0.display())]
    Exists(PathBuf),
    /// What it holds is not what was written.
    #[error("{} is damaged: {damage}; move it away and restore a backup", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// It cannot be read or written.
    #[error("cannot read or write {}; look at the disk, its free space and the rights of the file", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<redb::Error>,
    },
}

/// How a file is damaged.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It has no bytes, or is no such file at all.
    #[error("it holds no objects and never did")]
    Foreign,
    /// The library found pages that it did not write.
    #[error("{0}")]
    Pages(Box<redb::Error>),
    /// A row is no object.
    #[error("the row {key:?} is no object")]
    Row {
        /// Resource, namespace and name.
        key: String,
    },
    /// A later version of this program wrote it.
    #[error("its layout is {0}, which this version does not know")]
    Layout(u64),
}

/// One change of an object on its way to the file.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: String,
    /// None deletes the row.
    pub(crate) text: Option<Bytes>,
    pub(crate) version: u64,
}

/// An open file.
#[derive(Debug)]
pub struct Storage {
    database: Database,
    path: PathBuf,
}

impl Storage {
    /// Makes a new file that only its owner can read.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        Self::create_filled(path, &Contents::default())
    }

    /// Makes a new file with objects in it. It has its name only when it is whole.
    pub fn create_filled(path: &Path, contents: &Contents) -> Result<Self, StorageError> {
        if path.exists() {
            return Err(StorageError::Exists(path.to_owned()));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let io_failed = |error: io::Error| unusable(path, error.into());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&unfinished).map_err(io_failed)?;
        let backend = FileBackend::new(file).map_err(|error| opening(path, error))?;
        let database = Builder::new().set_cache_size(CACHE).create_with_backend(backend);
        let database = database.map_err(|error| opening(path, error))?;
        let storage = Self { database, path: path.to_owned() };
        storage.transact(|transaction| {
            let mut objects = transaction.open_table(OBJECTS)?;
            for object in &contents.objects {
                objects.insert(key_of(object).as_str(), object.to_string().as_bytes())?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(LAYOUT, CURRENT_LAYOUT)?;
            meta.insert(VERSION, contents.version)?;
            Ok(())
        })?;
        std::fs::rename(&unfinished, path).and_then(|()| sync_folder_of(path)).map_err(io_failed)?;
        Ok(storage)
    }

    /// Opens a file, checking every page of it.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        if !path.exists() {
            return Err(StorageError::Missing(path.to_owned()));
        }
        // The library would make an empty database of an empty file.
        let mut first = [0; 1];
        let read = File::open(path).and_then(|mut file| file.read(&mut first));
        if read.map_err(|error| unusable(path, error.into()))? == 0 {
            return Err(damaged(path, Damage::Foreign));
        }
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        let database = builder.open(path).map_err(|error| opening(path, error))?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything in the file.
    pub fn contents(&self) -> Result<Contents, StorageError> {
        let failed = |error: redb::Error| self.failed(error);
        let read = self.database.begin_read().map_err(|error| failed(error.into()))?;
        let meta = read.open_table(META).map_err(|error| failed(error.into()))?;
        let number = |key| -> Result<u64, StorageError> {
            let found = meta.get(key).map_err(|error| failed(error.into()))?;
            Ok(found.map_or(0, |found| found.value()))
        };
        let layout = number(LAYOUT)?;
        if layout != CURRENT_LAYOUT {
            return Err(damaged(&self.path, Damage::Layout(layout)));
        }
        let table = read.open_table(OBJECTS).map_err(|error| failed(error.into()))?;
        let mut objects = Vec::new();
        for row in table.iter().map_err(|error| failed(error.into()))? {
            let (key, text) = row.map_err(|error| failed(error.into()))?;
            let Ok(object @ Value::Object(_)) = serde_json::from_slice(text.value()) else {
                return Err(damaged(&self.path, Damage::Row { key: key.value().to_owned() }));
            };
            objects.push(object);
        }
        Ok(Contents { version: number(VERSION)?, objects })
    }

    /// Writes changes in their order, all or none; when it returns they are on the disk.
    pub(crate) fn write(&self, rows: &[Row]) -> Result<(), StorageError> {
        self.transact(|transaction| {
            let mut objects = transaction.open_table(OBJECTS)?;
            let mut newest = 0;
            for row in rows {
                newest = newest.max(row.version);
                match &row.text {
                    Some(text) => drop(objects.insert(row.key.as_str(), text.as_ref())?),
                    None => drop(objects.remove(row.key.as_str())?),
                }
            }
            transaction.open_table(META)?.insert(VERSION, newest)?;
            Ok(())
        })
    }

    fn transact(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StorageError> {
        let committed = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            // INVARIANT: with one phase, a torn newest commit is told from a sound one by its checksums alone.
            transaction.set_two_phase_commit(true);
            work(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        committed().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: redb::Error) -> StorageError {
        if matches!(error, redb::Error::Corrupted(_)) {
            damaged(&self.path, Damage::Pages(Box::new(error)))
        } else {
            unusable(&self.path, error)
        }
    }
}

/// The key of an object that is not in a store.
fn key_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let group = text("/apiVersion").split_once('/').map_or("", |(group, _)| group);
    row_key((group, text("/kind")), text("/metadata/namespace"), text("/metadata/name"))
}

/// The key of a row, by group and kind: neither changes as long as a resource is defined. A slash stands in none.
pub(crate) fn row_key((group, kind): (&str, &str), namespace: &str, name: &str) -> String {
    format!("{kind}.{group}/{namespace}/{name}")
}

fn damaged(path: &Path, damage: Damage) -> StorageError {
    StorageError::Damaged { path: path.to_owned(), damage }
}

fn unusable(path: &Path, source: redb::Error) -> StorageError {
    StorageError::Unusable { path: path.to_owned(), source: Box::new(source) }
}

fn opening(path: &Path, error: DatabaseError) -> StorageError {
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return StorageError::InUse(path.to_owned());
    }
    let error = redb::Error::from(error);
    if let redb::Error::Io(error) = &error
        && error.kind() == io::ErrorKind::InvalidData
    {
        return damaged(path, Damage::Foreign);
    }
    let torn = |error: &redb::Error| matches!(error, redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof);
    if torn(&error) || matches!(error, redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_)) {
        return damaged(path, Damage::Pages(Box::new(error)));
    }
    unusable(path, error)
}

/// KERNEL: a new name is on the disk only when its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
