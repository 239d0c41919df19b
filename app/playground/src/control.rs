//! The way between the command line and the playground: one line of JSON asked, lines of JSON answered.

use std::io::{self, BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use anyhow::{Context, bail};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};

use crate::check::{Outcome, Wanted};
use crate::status::Status;

/// What can be asked of a running playground.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Tell what is going on until everything is ready.
    Wait,
    /// Tell how everything is.
    Status,
    /// Run checks.
    Check(Wanted),
    /// End.
    Down,
}

/// One line of an answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Something is going on.
    Progress(String),
    /// How everything is; the last line.
    Status(Box<Status>),
    /// A check is done.
    Checked(Outcome),
    /// Everything asked is done; the last line.
    Done,
    /// It failed; the last line.
    Failed(String),
}

/// The name by which a playground is found: sockets of this kind are no files and vanish with their holder.
fn address(name: &str) -> io::Result<SocketAddr> {
    let uid = nix::unistd::geteuid();
    SocketAddr::from_abstract_name(format!("submariner-playground/{uid}/{name}"))
}

/// Takes the name, so that there is one playground of it.
pub(crate) fn listen(name: &str) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&address(name)?)
}

/// A connection to a running playground.
pub(crate) struct Client {
    stream: UnixStream,
}

impl Client {
    /// Finds the playground of this name; `None` if there is none.
    pub(crate) fn connect(name: &str) -> anyhow::Result<Option<Self>> {
        match UnixStream::connect_addr(&address(name)?) {
            Ok(stream) => {
                // Anybody may have taken the name; into somebody else's namespaces nobody must be led.
                let holder = getsockopt(&stream, PeerCredentials).context("who holds the playground")?.uid();
                if holder != nix::unistd::geteuid().as_raw() {
                    bail!(
                        "the name of this playground is held by the user {holder}: choose another with --name"
                    );
                }
                Ok(Some(Self { stream }))
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error).context("cannot reach the playground"),
        }
    }

    /// Finds the playground of this name, or says how to have one.
    pub(crate) fn require(name: &str) -> anyhow::Result<Self> {
        Self::connect(name)?.with_context(|| match name {
            "default" => "no playground is running: start one with `subctl playground up`".to_owned(),
            _ => format!(
                "no playground {name:?} is running: start one with `subctl playground --name {name} up`"
            ),
        })
    }

    /// The process that holds the name.
    pub(crate) fn holder(&self) -> anyhow::Result<nix::unistd::Pid> {
        let credentials = getsockopt(&self.stream, PeerCredentials).context("who holds the playground")?;
        Ok(nix::unistd::Pid::from_raw(credentials.pid()))
    }

    /// Asks, and hands every line of the answer on until the last; tells the last.
    pub(crate) fn ask(&mut self, request: &Request, mut each: impl FnMut(Reply)) -> anyhow::Result<Reply> {
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        self.stream.write_all(line.as_bytes()).context("the playground does not listen any more")?;
        for line in BufReader::new(&self.stream).lines() {
            let line = line.context("the playground ended in the middle of an answer")?;
            match serde_json::from_str(&line).context("the playground answered something odd")? {
                Reply::Failed(why) => bail!(why),
                last @ (Reply::Status(_) | Reply::Done) => return Ok(last),
                reply @ (Reply::Progress(_) | Reply::Checked(_)) => each(reply),
            }
        }
        bail!("the playground ended in the middle of an answer")
    }
}
