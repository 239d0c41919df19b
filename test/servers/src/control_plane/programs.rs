//! Where the programs of the control plane lie.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

const NAMES: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// A folder with etcd, kube-apiserver, kube-controller-manager and kube-scheduler.
#[derive(Debug, Clone)]
pub struct Programs {
    pub(super) folder: PathBuf,
}

impl Programs {
    /// The folder that `KUBEBUILDER_ASSETS` names.
    pub fn find() -> Result<Self> {
        let folder = env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty());
        let folder =
            PathBuf::from(folder.context("KUBEBUILDER_ASSETS is not set: run `make test-kubernetes`")?);
        for name in NAMES {
            ensure!(
                folder.join(name).is_file(),
                "KUBEBUILDER_ASSETS is {}, which has no {name}; leave it unset to have the programs built",
                folder.display()
            );
        }
        Ok(Self { folder })
    }
}
