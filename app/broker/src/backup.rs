//! Backups: of a hub that runs through its API, of one that does not from its files; and back.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use subm_apiserver::{Backup, Storage, StorageError};
use subm_kube::Access;
use tracing::info;

use crate::folder::{Folder, write_private};
use crate::settings::Settings;

/// Writes everything of a hub to a file.
pub(crate) async fn make(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    let folder = Folder::new(&settings.folder);
    let text = match Storage::open(&folder.objects()) {
        Ok(storage) => Backup { files: folder.files()?, contents: storage.contents()? }.to_text(),
        Err(StorageError::InUse(_)) => of_running(&folder, settings).await?,
        Err(error) => return Err(error.into()),
    };
    let read = Backup::from_text(&text).context("what the hub gave is no backup")?;
    write_private(file, &text)?;
    let objects = read.contents.objects.len();
    info!(file = %file.display(), objects, version = read.contents.version, "backup written");
    Ok(())
}

async fn of_running(folder: &Folder, settings: &Settings) -> anyhow::Result<String> {
    let path = folder.admin_kubeconfig();
    let connection = Access::kubeconfig(&path, &settings.namespace).await?.connect()?;
    let request = http::Request::get("/backup").body(Vec::new()).context("the request")?;
    let text = connection.client.request_text(request).await;
    text.with_context(|| format!("the hub at {} gave no backup", connection.server))
}

/// Makes a hub of a backup.
pub(crate) fn restore(settings: &Settings, file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let backup =
        Backup::from_text(&text).with_context(|| format!("{} cannot be restored", file.display()))?;
    let folder = Folder::new(&settings.folder);
    folder.create()?;
    let objects = folder.objects();
    if objects.exists() {
        bail!(StorageError::Exists(objects));
    }
    folder.put(&backup.files)?;
    Storage::create_filled(&objects, &backup.contents)?;
    let count = backup.contents.objects.len();
    info!(folder = %settings.folder.display(), objects = count, "hub restored; start it now");
    Ok(())
}
