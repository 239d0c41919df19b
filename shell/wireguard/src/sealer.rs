//! Packets as datagrams in one buffer, ready to be sent with few calls.

use subm_noise::message::sealed;
use subm_noise::{Batch, Moment, Path, Session};

use crate::socket::{LONGEST_DATAGRAM, MOST_SEGMENTS, Sockets, Train};
use crate::split::Split;

/// Room for a frame of the shortest segments that TCP makes, twice. Pages take memory once they are written to.
const WIRE_BYTES: usize = 512 << 10;

/// What a frame lacked that was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lack {
    /// A session to seal with: the frame may wait for one.
    Session,
    /// The peer's address.
    Endpoint,
    /// Room: it is cut into too many packets.
    Room,
}

/// A buffer of datagrams.
#[derive(Debug)]
pub(crate) struct Sealer {
    wire: Vec<u8>,
    used: usize,
    trains: Vec<Train>,
}

impl Sealer {
    pub(crate) fn new() -> Self {
        Self { wire: vec![0; WIRE_BYTES], used: 0, trains: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.trains.clear();
    }

    /// Seals all packets of a frame for a peer.
    pub(crate) fn add(
        &mut self,
        split: &Split<'_>,
        path: &Path,
        mtu: usize,
        now: Moment,
    ) -> Result<(), Lack> {
        let Some(session) = path.session() else {
            path.want_session();
            return Err(Lack::Session);
        };
        let to = path.endpoint().ok_or(Lack::Endpoint)?;
        let count = split.count();
        // The first packet is the longest.
        if self.used + count * sealed(split.length(0), mtu) > self.wire.len() {
            return Err(Lack::Room);
        }
        let counters = u32::try_from(count).ok().and_then(|count| session.reserve(count, now).ok());
        let counters = counters.ok_or(Lack::Session)?;
        let mut noted = Batch::default();
        for (index, counter) in counters.enumerate() {
            let length = split.length(index);
            let total = sealed(length, mtu);
            let datagram = &mut self.wire[self.used..self.used + total];
            let body = &mut datagram[HEADER..];
            split.write(index, &mut body[..length]);
            body[length..total - HEADER].fill(0);
            session.seal(counter, datagram);
            noted.add(total);
            self.append(Train { to, at: self.used, length: total, segment: total });
            self.used += total;
        }
        note(session, noted, now);
        Ok(())
    }

    /// Adds a datagram to the last train if it may end it or prolong it.
    fn append(&mut self, one: Train) {
        if let Some(last) = self.trains.last_mut() {
            let even = last.length % last.segment == 0 && one.length <= last.segment;
            let short =
                last.length / last.segment < MOST_SEGMENTS && last.length + one.length <= LONGEST_DATAGRAM;
            if last.to == one.to && last.at + last.length == one.at && even && short {
                last.length += one.length;
                return;
            }
        }
        self.trains.push(one);
    }

    pub(crate) fn send(&self, sockets: &Sockets) {
        sockets.send(&self.wire, &self.trains);
    }
}

const HEADER: usize = subm_noise::message::DATA_HEADER;

fn note(session: &Session, noted: Batch, now: Moment) {
    if !noted.is_empty() {
        session.note_sent(noted, now);
    }
}
