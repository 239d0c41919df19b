//! A thread that says when there is reason to look at the kernel again.

use std::thread::JoinHandle;
use std::time::Duration;

use nlink::netlink::{AttrIter, MessageIter, NetlinkSocket, Protocol};
use subm_plan::Scope;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::freshness::{self, Interest};
use crate::netlink::Netlink;
use crate::{KernelError, links};

/// How often kernel parameters are to be looked at: most of them change without a notification.
const TICK: Duration = Duration::from_millis(500);
/// `NFNLGRP_NFTABLES` (`linux/netfilter/nfnetlink.h`).
const NFTABLES: u32 = 7;
/// The attribute that names the table, in every nftables message that is about one.
const TABLE: u16 = 1;
/// Bytes of `struct nfgenmsg`.
const GENERAL: usize = 4;
/// `NFNL_SUBSYS_NFTABLES`, and `NFT_MSG_NEWGEN`, whose first attribute is a number.
const SUBSYSTEM: u16 = 10;
const NEW_GENERATION: u16 = 15;

/// Why to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// Something that concerns the scope, or the host's links, addresses or default routes, changed.
    Changed,
    /// Notifications were lost: anything may have changed.
    Lost,
    /// Some time passed; kernel parameters may have changed.
    Tick,
}

/// Hears of changes in the network namespace of the thread that started it, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread.
    pub fn start(scope: &Scope, wake: impl Fn(Wake) + Send + 'static) -> Result<Self, KernelError> {
        let (stop, stopped) = oneshot::channel();
        let (ready, outcome) = std::sync::mpsc::sync_channel(1);
        let scope = scope.clone();
        // KERNEL: a thread starts in the network namespace of the thread that makes it.
        let body = move || {
            let (ears, outcome) = match Ears::open(&scope) {
                Ok(ears) => (Some(ears), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Whoever started this waits for the outcome; where that went wrong there is nobody to listen for.
            if let (Ok(()), Some(ears)) = (ready.send(outcome), ears) {
                ears.hear(&wake, stopped);
            }
        };
        let thread = std::thread::Builder::new().name("kernel-watcher".to_owned()).spawn(body);
        let thread = thread.map_err(KernelError::Runtime)?;
        match outcome.recv() {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(Self { stop: Some(stop), thread: Some(thread) }),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the kernel watcher ended by a panic");
        }
    }
}

struct Ears {
    routing: NetlinkSocket,
    filter: Option<NetlinkSocket>,
    interest: Interest,
    table: String,
    netlink: Netlink,
}

impl Ears {
    fn open(scope: &Scope) -> Result<Self, KernelError> {
        let netlink = Netlink::open()?;
        let routing =
            netlink.inside(freshness::listen).map_err(KernelError::netlink("listen to rtnetlink"))?;
        // A kernel without a packet filter has nothing to tell of it.
        let filter = netlink.inside(|| {
            let socket = NetlinkSocket::new(Protocol::Netfilter)?;
            socket.add_membership(NFTABLES)?;
            nlink::Result::Ok(socket)
        });
        let mut interest = Interest::of(scope);
        interest.learn(&links::list(&netlink)?);
        Ok(Self { routing, filter: filter.ok(), interest, table: scope.table.name.clone(), netlink })
    }

    fn hear(self, wake: &impl Fn(Wake), mut stopped: oneshot::Receiver<()>) {
        let Self { routing, filter, mut interest, table, netlink } = self;
        netlink.wait(async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let heard = tokio::select! {
                    _ = &mut stopped => return,
                    _ = tick.tick() => Some(Wake::Tick),
                    data = routing.recv_msg() => {
                        judge(data, |data| !interest.stale_by(data).is_empty())
                    }
                    data = hear_filter(filter.as_ref()) => judge(data, |data| names(data, &table)),
                };
                heard.into_iter().for_each(wake);
            }
        });
    }
}

async fn hear_filter(socket: Option<&NetlinkSocket>) -> nlink::Result<Vec<u8>> {
    match socket {
        Some(socket) => socket.recv_msg().await,
        None => std::future::pending().await,
    }
}

fn judge(data: nlink::Result<Vec<u8>>, concerns: impl FnOnce(&[u8]) -> bool) -> Option<Wake> {
    match data {
        Ok(data) => concerns(&data).then_some(Wake::Changed),
        Err(_) => Some(Wake::Lost),
    }
}

/// Whether nftables messages are about a table.
fn names(data: &[u8], table: &str) -> bool {
    MessageIter::new(data).any(|message| match message {
        Ok((header, payload)) => {
            let [subsystem, kind] = header.nlmsg_type.to_be_bytes().map(u16::from);
            let attributes = payload.get(GENERAL..).unwrap_or_default();
            let named = |(attribute, value): (u16, &[u8])| {
                attribute == TABLE && value.strip_suffix(&[0]).unwrap_or(value) == table.as_bytes()
            };
            subsystem == SUBSYSTEM && kind != NEW_GENERATION && AttrIter::new(attributes).any(named)
        }
        Err(_) => true,
    })
}
