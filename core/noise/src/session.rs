//! One pair of keys between two peers: sealing, opening, limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ring::aead::{Aad, LessSafeKey};
use subm_types::Moment;

use crate::activity::{Activity, Batch};
use crate::crypto::{nonce, seal_in_place};
use crate::message::{DATA_HEADER, DATA_OVERHEAD, TAG, data_header};
use crate::replay::ReplayWindow;
use crate::timing::{
    KEEPALIVE_TIMEOUT, REJECT_AFTER_MESSAGES, REJECT_AFTER_TIME, REKEY_AFTER_MESSAGES, REKEY_AFTER_TIME,
    REKEY_TIMEOUT,
};

/// A session with one peer, shared by all threads that send and receive with it.
///
/// It shows no key material, not even to a debugger's formatter.
pub struct Session {
    local_index: u32,
    remote_index: u32,
    role: Role,
    born: Moment,
    sealing: LessSafeKey,
    opening: LessSafeKey,
    activity: Arc<Activity>,
    /// The peer has proven that it has the keys too; an initiator's session begins so.
    confirmed: AtomicBool,
    next_counter: Counting,
    replay: ReplayWindow,
}

/// Who began the handshake: the initiator renews the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

/// Written by every batch that is sent, so it shares its cache line with nothing that is read for each packet.
#[derive(Default)]
#[repr(align(128))]
struct Counting(AtomicU64);

/// What a handshake results in.
pub(crate) struct Agreed {
    pub(crate) local_index: u32,
    pub(crate) remote_index: u32,
    pub(crate) role: Role,
    pub(crate) sealing: LessSafeKey,
    pub(crate) opening: LessSafeKey,
}

/// The number of one packet, good for sealing once.
#[derive(Debug, PartialEq, Eq)]
pub struct Counter(u64);

/// Numbers for the packets of one batch, taken from the session in one step.
#[derive(Debug, PartialEq, Eq)]
pub struct Counters {
    next: u64,
    end: u64,
}

impl Iterator for Counters {
    type Item = Counter;

    #[inline]
    fn next(&mut self) -> Option<Counter> {
        let counter = (self.next < self.end).then_some(Counter(self.next))?;
        self.next += 1;
        Some(counter)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.end - self.next).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

/// The session may not send any more: it is too old or out of numbers. A handshake has been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session has reached its limit")]
pub struct Exhausted;

/// Why a data message was not opened. None of them changes the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The session is older than it may be, or the counter higher.
    #[error("the session has reached its limit")]
    Expired,
    /// The counter was seen before or is too old to tell.
    #[error("the packet was seen before")]
    Replayed,
    /// The packet was not sealed with this session's key, or is cut short.
    #[error("the packet is not authentic")]
    NotAuthentic,
}

impl Session {
    pub(crate) fn new(agreed: Agreed, activity: Arc<Activity>, now: Moment) -> Self {
        Self {
            local_index: agreed.local_index,
            remote_index: agreed.remote_index,
            role: agreed.role,
            born: now,
            sealing: agreed.sealing,
            opening: agreed.opening,
            activity,
            confirmed: AtomicBool::new(agreed.role == Role::Initiator),
            next_counter: Counting::default(),
            replay: ReplayWindow::default(),
        }
    }

    /// The index by which the peer addresses this session.
    pub const fn local_index(&self) -> u32 {
        self.local_index
    }

    /// Takes numbers for `count` packets. Asks for a new session in good time; refuses when this one is at its end.
    #[inline]
    pub fn reserve(&self, count: u32, now: Moment) -> Result<Counters, Exhausted> {
        let age = now.since(self.born);
        if age >= REJECT_AFTER_TIME {
            self.activity.want_handshake();
            return Err(Exhausted);
        }
        let within =
            |next: u64| next.checked_add(u64::from(count)).filter(|end| *end <= REJECT_AFTER_MESSAGES);
        let Ok(next) = self.next_counter.0.fetch_update(Relaxed, Relaxed, within) else {
            self.activity.want_handshake();
            return Err(Exhausted);
        };
        if next >= REKEY_AFTER_MESSAGES || (age >= REKEY_AFTER_TIME && self.role == Role::Initiator) {
            self.activity.want_handshake();
        }
        Ok(Counters { next, end: next + u64::from(count) })
    }

    /// Makes a datagram of a packet, in place: 16 bytes for the header, the padded packet, 16 bytes for the tag.
    ///
    /// # Panics
    /// If the buffer is shorter than [`DATA_OVERHEAD`].
    #[inline]
    #[expect(clippy::needless_pass_by_value, reason = "a number is used up by sealing")]
    pub fn seal(&self, counter: Counter, datagram: &mut [u8]) {
        assert!(datagram.len() >= DATA_OVERHEAD, "no room for a data message");
        let (header, rest) = datagram.split_at_mut(DATA_HEADER);
        let (packet, tag) = rest.split_at_mut(rest.len() - TAG);
        header.copy_from_slice(&data_header(self.remote_index, counter.0));
        seal_in_place(&self.sealing, counter.0, &[], packet, tag);
    }

    /// Opens a whole data message in place and gives its packet with the padding, nothing for a keepalive.
    ///
    /// `counter` is that of its header ([`crate::message::Kind::of`]). Each counter is accepted once, by whatever
    /// thread comes first.
    #[inline]
    pub fn open<'a>(
        &self,
        counter: u64,
        datagram: &'a mut [u8],
        now: Moment,
    ) -> Result<&'a mut [u8], Refusal> {
        if now.since(self.born) >= REJECT_AFTER_TIME || counter >= REJECT_AFTER_MESSAGES {
            return Err(Refusal::Expired);
        }
        if !self.replay.is_new(counter) {
            return Err(Refusal::Replayed);
        }
        let sealed = datagram.get_mut(DATA_HEADER..).ok_or(Refusal::NotAuthentic)?;
        let packet = self
            .opening
            .open_in_place(nonce(counter), Aad::empty(), sealed)
            .map_err(|_| Refusal::NotAuthentic)?;
        if !self.replay.accept(counter) {
            return Err(Refusal::Replayed);
        }
        if !self.confirmed.load(Relaxed) && !self.confirmed.swap(true, Relaxed) {
            self.activity.ring();
        }
        Ok(packet)
    }

    /// Tells the timers and the statistics what was sent with this session. Once per batch.
    #[inline]
    pub fn note_sent(&self, batch: Batch, now: Moment) {
        self.activity.note_sent(batch, now);
    }

    /// Tells what was opened. Once per batch; where each batch comes from is for [`crate::Receiver::note_received`].
    #[inline]
    pub(crate) fn note_received(&self, batch: Batch, now: Moment) {
        self.activity.note_received(batch, now);
        if self.role == Role::Initiator && now.since(self.born) >= RENEW_ON_RECEIPT {
            self.activity.want_handshake();
        }
    }

    pub(crate) fn note_roamed(&self, to: SocketAddr) {
        self.activity.note_roamed(to);
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed.load(Relaxed)
    }

    /// When the session may no longer be used.
    pub(crate) fn ends(&self) -> Moment {
        self.born + REJECT_AFTER_TIME
    }

    /// Tells whether there are numbers left to send with.
    pub(crate) fn has_numbers(&self) -> bool {
        self.next_counter.0.load(Relaxed) < REJECT_AFTER_MESSAGES
    }

    /// Tells whether a new session should take over.
    pub(crate) fn wants_renewal(&self, now: Moment) -> bool {
        let old = self.role == Role::Initiator && now.since(self.born) >= REKEY_AFTER_TIME;
        old || now >= self.ends() || self.next_counter.0.load(Relaxed) >= REKEY_AFTER_MESSAGES
    }
}

/// An initiator that only receives renews the session before its own answers could no longer be sent.
const RENEW_ON_RECEIPT: Duration =
    Duration::from_secs(REJECT_AFTER_TIME.as_secs() - KEEPALIVE_TIMEOUT.as_secs() - REKEY_TIMEOUT.as_secs());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Bell;
    use crate::crypto::aead_key;

    fn pair() -> (Session, Session) {
        let side = |role, sealing: u8, opening: u8| {
            let agreed = Agreed {
                local_index: sealing.into(),
                remote_index: opening.into(),
                role,
                sealing: aead_key(&[sealing; 32]),
                opening: aead_key(&[opening; 32]),
            };
            let activity = Activity::new(Arc::new(Bell::default()));
            Session::new(agreed, Arc::new(activity), Moment::default())
        };
        (side(Role::Initiator, 1, 2), side(Role::Responder, 2, 1))
    }

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn a_batch_is_sealed_and_opened_in_any_order() {
        let (one, other) = pair();
        let counters = one.reserve(64, at(1)).unwrap();
        assert_eq!(counters.size_hint(), (64, Some(64)));
        let mut batch: Vec<Vec<u8>> = counters
            .zip(0_u8..)
            .map(|(counter, fill)| {
                let mut datagram = vec![fill; 1420 + DATA_OVERHEAD];
                one.seal(counter, &mut datagram);
                datagram
            })
            .collect();
        for (number, datagram) in batch.iter_mut().enumerate().rev() {
            let kind = crate::message::Kind::of(datagram);
            assert_eq!(kind, Some(crate::message::Kind::Data { receiver: 2, counter: number as u64 }));
            let packet = other.open(number as u64, datagram, at(1)).unwrap();
            assert_eq!(packet, [u8::try_from(number).unwrap(); 1420]);
        }
        assert!(other.is_confirmed());
    }

    #[test]
    fn no_two_batches_share_a_number() {
        let (one, _) = pair();
        let taken: Vec<u64> = std::thread::scope(|scope| {
            let take =
                || (1..200).flat_map(|count| one.reserve(count, at(1)).unwrap()).map(|c| c.0).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| -> Vec<u64> { thread.join().unwrap() }).collect()
        });
        let distinct: std::collections::BTreeSet<u64> = taken.iter().copied().collect();
        assert_eq!((distinct.len(), distinct.last()), (taken.len(), Some(&(taken.len() as u64 - 1))));
    }

    #[test]
    fn numbers_end_where_the_protocol_ends_them() {
        let (one, other) = pair();
        one.next_counter.0.store(REKEY_AFTER_MESSAGES - 1, Relaxed);
        assert!(one.reserve(1, at(1)).is_ok());
        assert!(!one.activity.wants_handshake());
        assert!(one.reserve(1, at(1)).is_ok());
        assert!(one.activity.wants_handshake() && one.wants_renewal(at(1)));
        one.next_counter.0.store(REJECT_AFTER_MESSAGES - 2, Relaxed);
        assert_eq!(one.reserve(3, at(1)), Err(Exhausted));
        let mut datagram = vec![0; DATA_OVERHEAD];
        one.seal(one.reserve(2, at(1)).unwrap().last().unwrap(), &mut datagram);
        assert_eq!(
            other.open(REJECT_AFTER_MESSAGES - 1, &mut datagram, at(1)).map(|packet| packet.len()),
            Ok(0)
        );
        for _ in 0..10_000 {
            assert_eq!(one.reserve(u32::MAX, at(1)), Err(Exhausted), "and stay at their end");
        }
        assert!(!one.has_numbers());
        assert_eq!(other.open(REJECT_AFTER_MESSAGES, &mut datagram, at(1)), Err(Refusal::Expired));
    }

    #[test]
    fn age_asks_for_a_new_session_and_then_ends_this_one() {
        let (one, other) = pair();
        assert!(one.reserve(1, at(119)).is_ok() && !one.activity.wants_handshake());
        assert!(other.reserve(1, at(179)).is_ok() && !other.activity.wants_handshake(), "not the responder");
        assert!(one.reserve(1, at(120)).is_ok() && one.activity.wants_handshake());
        assert_eq!(one.reserve(1, at(180)), Err(Exhausted));
        assert_eq!(other.reserve(1, at(180)), Err(Exhausted));
        assert!(other.activity.wants_handshake(), "a responder asks only at the end");
    }

    #[test]
    fn what_is_not_authentic_marks_nothing() {
        let (one, other) = pair();
        let mut datagram = vec![7; 64];
        one.seal(one.reserve(1, at(1)).unwrap().next().unwrap(), &mut datagram);
        for at_byte in DATA_HEADER..64 {
            let mut forged = datagram.clone();
            forged[at_byte] ^= 0x10;
            assert_eq!(other.open(0, &mut forged, at(1)), Err(Refusal::NotAuthentic));
        }
        assert_eq!(
            other.open(1, &mut datagram.clone(), at(1)),
            Err(Refusal::NotAuthentic),
            "another counter"
        );
        for length in 0..DATA_OVERHEAD {
            assert_eq!(other.open(0, &mut datagram.clone()[..length], at(1)), Err(Refusal::NotAuthentic));
        }
        assert!(!other.is_confirmed());
        assert!(other.open(0, &mut datagram.clone(), at(1)).is_ok());
        assert_eq!(other.open(0, &mut datagram, at(1)), Err(Refusal::Replayed));
    }
}
