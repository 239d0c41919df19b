//! What a hub keeps on the disk: its objects, its keys, and the administrator's way in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use subm_apiserver::{Authority, Storage, TokenKey};

const AUTHORITY: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
const TOKEN_KEY: &str = "sa.key";
const ADMIN_TOKEN: &str = "admin.token";
/// Without these, every credential that was given out would be worthless.
const KEYS: [&str; 4] = [AUTHORITY, AUTHORITY_KEY, TOKEN_KEY, ADMIN_TOKEN];

/// The folder of one hub.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

/// The keys of one hub.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) authority: Authority,
    pub(crate) token: TokenKey,
    pub(crate) admin: String,
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn objects(&self) -> PathBuf {
        self.0.join("objects.redb")
    }

    pub(crate) fn admin_kubeconfig(&self) -> PathBuf {
        self.0.join("admin.kubeconfig")
    }

    fn key(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn create(&self) -> anyhow::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.with_context(|| format!("cannot make the folder {}", self.0.display()))
    }

    /// Opens the objects, or begins a hub where nothing of one is there. Keys without objects are a hub that lost them,
    /// and never one that is new.
    pub(crate) fn open(&self) -> anyhow::Result<(Storage, Keys)> {
        self.create()?;
        let objects = self.objects();
        let there: Vec<_> = KEYS.into_iter().filter(|name| self.key(name).exists()).collect();
        if there.is_empty() && !objects.exists() {
            tracing::info!(folder = %self.0.display(), "a new hub begins");
            let keys = self.make_keys()?;
            return Ok((Storage::create(&objects)?, keys));
        }
        // The objects come last when a hub begins: without them nobody can have been given a credential.
        if !objects.exists() && there.len() < KEYS.len() {
            let keys = self.make_keys()?;
            return Ok((Storage::create(&objects)?, keys));
        }
        let keys = self.read_keys()?;
        let storage = Storage::open(&objects)
            .with_context(|| format!("the hub in {} cannot go on", self.0.display()))?;
        Ok((storage, keys))
    }

    fn make_keys(&self) -> anyhow::Result<Keys> {
        let keys = Keys {
            authority: Authority::new("submariner broker CA")?,
            token: TokenKey::new()?,
            admin: token()?,
        };
        self.write(AUTHORITY, &keys.authority.pem())?;
        self.write(AUTHORITY_KEY, &keys.authority.key_pem())?;
        self.write(TOKEN_KEY, keys.token.to_pem())?;
        self.write(ADMIN_TOKEN, &keys.admin)?;
        Ok(keys)
    }

    fn read_keys(&self) -> anyhow::Result<Keys> {
        let files = self.files()?;
        let text = |name: &str| files.get(name).map_or("", String::as_str);
        let unusable = |name: &str| format!("{} is not usable; restore a backup", self.key(name).display());
        let authority = Authority::from_pem("submariner broker CA", text(AUTHORITY), text(AUTHORITY_KEY))
            .with_context(|| unusable(AUTHORITY_KEY))?;
        let token = TokenKey::from_pem(text(TOKEN_KEY)).with_context(|| unusable(TOKEN_KEY))?;
        let admin = text(ADMIN_TOKEN).trim().to_owned();
        if admin.is_empty() {
            bail!(unusable(ADMIN_TOKEN));
        }
        Ok(Keys { authority, token, admin })
    }

    /// The texts of all keys, by their names.
    pub(crate) fn files(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let read = |name: &str| {
            let path = self.key(name);
            let text = fs::read_to_string(&path);
            let text = text.with_context(|| format!("cannot read {}; restore a backup", path.display()))?;
            Ok((name.to_owned(), text))
        };
        KEYS.into_iter().map(read).collect()
    }

    /// Puts keys into the folder.
    pub(crate) fn put(&self, files: &BTreeMap<String, String>) -> anyhow::Result<()> {
        for name in KEYS {
            let text = files.get(name).with_context(|| format!("there is no {name} in the backup"))?;
            self.write(name, text)?;
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        write_private(&self.key(name), text)
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A bearer token that nobody can guess.
fn token() -> anyhow::Result<String> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).context("the operating system gives no random bytes")?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_lost_its_objects_is_never_a_new_one() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(&place.path().join("hub"));
        let (_, keys) = folder.open().unwrap();
        let (_, again) = folder.open().unwrap();
        assert_eq!(keys.admin, again.admin);
        assert_eq!(keys.authority.pem(), again.authority.pem());
        fs::remove_file(folder.objects()).unwrap();
        let error = format!("{:#}", folder.open().unwrap_err());
        assert!(error.contains("objects.redb is missing") && error.contains("restore a backup"), "{error}");
    }

    #[test]
    fn a_beginning_that_was_cut_off_begins_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path());
        folder.write(AUTHORITY, "cut off").unwrap();
        folder.open().unwrap();
    }
}
