//! A network namespace with a name.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns};
use nlink::netlink::namespace::{Netns, create_path, delete_path};
use nlink::{Connection, Route};

use crate::{LabError, NETNS_DIR};

/// A node, a pod, a router: whatever has a network stack of its own. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Host {
    name: Arc<str>,
    netns: Arc<Netns>,
}

impl Host {
    /// Makes a host with nothing but its loopback link.
    ///
    /// It can be entered by its name below [`NETNS_DIR`]. `ping` sockets are open to everyone on it.
    pub async fn create(name: &str) -> Result<Self, LabError> {
        let path = format!("{NETNS_DIR}/{name}");
        create_path(&path).map_err(LabError::kernel(name, format!("ip netns add {name}")))?;
        let netns = Netns::from_path(&path).map_err(LabError::kernel(name, "open the namespace"))?;
        let host = Self { name: name.into(), netns: Arc::new(netns) };
        host.up("lo").await?;
        host.sysctl("net/ipv4/ping_group_range", "0 0")?;
        Ok(host)
    }

    /// Opens a host that somebody else made, by the file of its namespace.
    pub fn open(name: &str, file: &Path) -> Result<Self, LabError> {
        let netns = Netns::from_path(file).map_err(LabError::kernel(name, "open the namespace"))?;
        Ok(Self { name: name.into(), netns: Arc::new(netns) })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Does something on a thread inside the host and returns what came of it.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.netns.run(body).map_err(LabError::kernel(&self.name, "enter the namespace"))
    }

    /// Starts a thread that lives inside the host; programs that it starts live there too.
    pub fn spawn<T: Send + 'static>(
        &self,
        thread_name: &str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T, LabError>>, LabError> {
        let host = self.clone();
        thread::Builder::new()
            .name(thread_name.to_owned())
            .spawn(move || {
                setns(host.netns.as_fd(), CloneFlags::CLONE_NEWNET)
                    .map_err(io::Error::from)
                    .map_err(LabError::io(&host.name, "enter the namespace"))?;
                Ok(body())
            })
            .map_err(LabError::io(&self.name, format!("start the thread {thread_name}")))
    }

    /// Writes a kernel parameter of the host, named by its path below `/proc/sys`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<(), LabError> {
        self.enter(|| fs::write(format!("/proc/sys/{path}"), value))?
            .map_err(LabError::io(&self.name, format!("sysctl {} = {value}", path.replace('/', "."))))
    }

    /// Reads a kernel parameter of the host.
    pub fn read_sysctl(&self, path: &str) -> Result<String, LabError> {
        self.enter(|| fs::read_to_string(format!("/proc/sys/{path}")))?
            .map(|text| text.trim().to_owned())
            .map_err(LabError::io(&self.name, format!("read sysctl {}", path.replace('/', "."))))
    }

    /// A netlink connection of the host.
    pub fn netlink(&self) -> Result<Connection<Route>, LabError> {
        Connection::<Route>::new_in(&*self.netns).map_err(LabError::kernel(&self.name, "open netlink"))
    }

    /// Takes its name away; the kernel takes the rest when nobody holds it any more.
    pub fn remove(self) -> Result<(), LabError> {
        let path = format!("{NETNS_DIR}/{}", self.name);
        delete_path(path).map_err(LabError::kernel(&self.name, format!("ip netns delete {}", self.name)))
    }

    pub(crate) fn netns(&self) -> &Netns {
        &self.netns
    }
}
