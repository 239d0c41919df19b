//! Processes that a kubelet started, so that who buries orphans leaves them to it.

use std::collections::BTreeSet;
use std::io;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};

/// The processes that are waited for; clones are the same set.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<BTreeSet<i32>>>);

impl Children {
    /// Starts a process that is waited for with [`Children::wait`].
    pub fn start(&self, command: &mut Command) -> io::Result<Child> {
        // INVARIANT: nobody buries between the start of a process and its entry.
        let mut own = self.lock();
        let child = command.spawn()?;
        own.extend(i32::try_from(child.id()));
        Ok(child)
    }

    /// Waits for the end of a process.
    pub fn wait(&self, child: &mut Child) -> io::Result<ExitStatus> {
        let status = child.wait();
        if let Ok(pid) = i32::try_from(child.id()) {
            self.lock().remove(&pid);
        }
        status
    }

    /// Buries processes whose parents ended: for the first process of a PID namespace.
    pub fn bury_orphans(&self) {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let own = self.lock();
        while let Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) = waitid(Id::All, look) {
            if own.contains(&pid.as_raw()) || waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
                break;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
