//! One rtnetlink socket, asked synchronously.
//!
//! nlink's own connection has no request with a header of ours (routes filtered by protocol in the kernel, a
//! forwarding entry's port, VXLAN's checksum flags), so requests are built here on nlink's socket and builder.

use nlink::netlink::message::{NlMsgError, NlMsgType};
use nlink::netlink::{Error, MessageBuilder, MessageIter, NetlinkSocket, NlMsgHdr, Protocol};
use tokio::runtime::{Builder, Runtime};

use crate::KernelError;

/// `NLM_F_REQUEST | NLM_F_ACK` (`linux/netlink.h`).
const ASK: u16 = 0x1 | 0x4;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;
/// `NLM_F_EXCL`.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_REPLACE`.
pub(crate) const REPLACE: u16 = 0x100;
/// `NLM_F_APPEND`.
pub(crate) const APPEND: u16 = 0x800;
/// `NLM_F_DUMP`.
const DUMP: u16 = 0x300;

/// A dump during which the objects changed is taken again this often.
const ATTEMPTS: usize = 20;

/// The bytes of a message after its header.
pub(crate) type Payload = Vec<u8>;

/// A request that changes something, or asks for one object.
pub(crate) fn change(kind: u16, flags: u16) -> MessageBuilder {
    MessageBuilder::new(kind, ASK | flags)
}

/// A request for all objects that its header and attributes let through.
pub(crate) fn list(kind: u16) -> MessageBuilder {
    MessageBuilder::new(kind, 0x1 | DUMP)
}

/// A socket of the namespace of the thread that opened it, and the runtime that drives it.
pub(crate) struct Netlink {
    socket: NetlinkSocket,
    runtime: Runtime,
}

enum Answer {
    Whole(Vec<Payload>),
    /// The objects changed while the kernel listed them.
    Torn,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, KernelError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(KernelError::Runtime)?;
        let socket = {
            let _inside = runtime.enter();
            NetlinkSocket::new(Protocol::Route).map_err(KernelError::netlink("open an rtnetlink socket"))?
        };
        // KERNEL: without strict checking a dump request's header is not a filter (5.0 and later).
        socket.set_strict_checking(true).map_err(KernelError::netlink("ask for strict checking"))?;
        Ok(Self { socket, runtime })
    }

    /// Runs a future of one of nlink's own connections.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Makes something that registers itself with the runtime.
    pub(crate) fn inside<T>(&self, make: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.enter();
        make()
    }

    /// Sends a change and waits for the acknowledgement.
    pub(crate) fn send(&self, message: &MessageBuilder) -> Result<(), Error> {
        self.ask(message).map(drop)
    }

    /// Sends a request and returns all answers.
    pub(crate) fn ask(&self, message: &MessageBuilder) -> Result<Vec<Payload>, Error> {
        for _ in 0..ATTEMPTS {
            match self.runtime.block_on(self.exchange(message.clone()))? {
                Answer::Whole(payloads) => return Ok(payloads),
                Answer::Torn => {}
            }
        }
        Err(Error::dump_interrupted())
    }

    async fn exchange(&self, mut message: MessageBuilder) -> Result<Answer, Error> {
        let sequence = self.socket.next_seq();
        message.set_seq(sequence);
        message.set_pid(self.socket.pid());
        self.socket.send(&message.finish()).await?;
        let mut reply = Reply { sequence, payloads: Vec::new(), torn: false };
        while !reply.take(&self.socket.recv_unicast().await?)? {}
        Ok(if reply.torn { Answer::Torn } else { Answer::Whole(reply.payloads) })
    }
}

/// The answer to one request, as far as it has come.
struct Reply {
    sequence: u32,
    payloads: Vec<Payload>,
    torn: bool,
}

impl Reply {
    /// Takes in a datagram; tells whether it was the last.
    fn take(&mut self, data: &[u8]) -> Result<bool, Error> {
        for message in MessageIter::new(data) {
            let (header, payload) = message?;
            if header.nlmsg_seq == self.sequence && self.take_message(header, payload)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_message(&mut self, header: &NlMsgHdr, payload: &[u8]) -> Result<bool, Error> {
        self.torn |= header.is_dump_interrupted();
        if header.nlmsg_type == NlMsgType::DONE {
            return Ok(true);
        }
        if header.nlmsg_type != NlMsgType::ERROR {
            self.payloads.push(payload.to_vec());
            return Ok(false);
        }
        let error = NlMsgError::from_bytes(payload)?;
        if error.is_ack() { Ok(true) } else { Err(error.to_error(header.nlmsg_flags, payload)) }
    }
}
