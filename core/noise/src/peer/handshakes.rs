//! Handshakes with one peer, from either side.

use std::net::SocketAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Attempt, Common, Occasion, Peer, release};
use crate::activity::Batch;
use crate::crypto::Secret;
use crate::device::Rejection;
use crate::handshake::{Initiated, Received};
use crate::message::{COOKIE_REPLY, INITIATION, RESPONSE};
use crate::session::{Agreed, Session};
use crate::timing::{INITIATION_INTERVAL, MAX_JITTER, REKEY_ATTEMPT_TIME, REKEY_TIMEOUT};

impl Peer {
    /// Begins a handshake unless one is under way. Where the peer is must be known.
    pub(crate) fn begin(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) {
        if self.attempt.is_some() || self.endpoint.is_none() {
            return;
        }
        let now = on.moment();
        let next = self.last_initiation.map_or(now, |last| now.max(last + REKEY_TIMEOUT));
        self.attempt = Some(Attempt { began: now, next, sent: None });
        self.continue_attempt(common, on);
    }

    /// Sends the next initiation if it is due, or gives up.
    pub(super) fn continue_attempt(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) {
        let now = on.moment();
        let Some((began, next)) = self.attempt.as_ref().map(|attempt| (attempt.began, attempt.next)) else {
            return;
        };
        if now < next {
            return;
        }
        self.abandon(common);
        if now.since(began) < REKEY_ATTEMPT_TIME {
            let sent = self.initiate(common, on);
            let next = now + REKEY_TIMEOUT + jitter(on);
            self.attempt = Some(Attempt { began, next, sent });
        }
    }

    /// Forgets the handshake that is under way.
    pub(super) fn abandon(&mut self, common: &mut Common) {
        if let Some(initiated) = self.attempt.take().and_then(|attempt| attempt.sent) {
            common.indexes.free(initiated.local_index);
        }
        self.activity.settle_handshake();
    }

    fn initiate(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) -> Option<Initiated> {
        let now = on.moment();
        let index = common.indexes.allocate(self.keys.public, on.random);
        let stamp = common.stamps.next(on.now.wall);
        let made = Initiated::new(&common.identity, &self.keys, index, stamp, &fresh(on));
        let Some((initiated, mut message)) = made else {
            common.indexes.free(index);
            return None;
        };
        self.holder.sign(&mut message, now);
        self.last_initiation = Some(now);
        self.transmit(common, message.to_vec(), now);
        Some(initiated)
    }

    /// Answers an initiation.
    pub(crate) fn take_initiation(
        &mut self,
        common: &mut Common,
        received: Received,
        from: SocketAddr,
        on: &mut Occasion<'_, '_>,
    ) -> Result<(), Rejection> {
        let now = on.moment();
        let authentic = received.authenticate(&self.keys).ok_or(Rejection::NotAuthentic)?;
        if let Some((newest, came)) = self.newest_stamp {
            if authentic.stamp <= newest {
                return Err(Rejection::Replayed);
            }
            if now.since(came) < INITIATION_INTERVAL {
                return Err(Rejection::TooMany);
            }
        }
        self.newest_stamp = Some((authentic.stamp, now));
        let index = common.indexes.allocate(self.keys.public, on.random);
        let Some((agreed, mut message)) = authentic.respond(&self.keys, index, &fresh(on)) else {
            common.indexes.free(index);
            return Err(Rejection::NotAuthentic);
        };
        self.holder.sign(&mut message, now);
        let ended = self.keyring.take_responded(self.session(agreed, on));
        release(common, ended);
        common.changed = true;
        self.move_to(common, Some(from));
        self.activity.note_received(Batch::handshake(INITIATION), now);
        self.transmit(common, message.to_vec(), now);
        Ok(())
    }

    /// Takes the response to our initiation: the session is there, and the peer shall know at once.
    pub(crate) fn take_response(
        &mut self,
        common: &mut Common,
        message: &[u8; RESPONSE],
        from: SocketAddr,
        on: &mut Occasion<'_, '_>,
    ) -> Result<(), Rejection> {
        let now = on.moment();
        let index = crate::handshake::receiver_of_response(message);
        let sent = self.attempt.as_ref().and_then(|attempt| attempt.sent.as_ref());
        let initiated = sent.filter(|sent| sent.local_index == index).ok_or(Rejection::Unsolicited)?;
        let agreed =
            initiated.finish(&common.identity, &self.keys, message).ok_or(Rejection::NotAuthentic)?;
        // The session takes the index over, so it is not freed.
        self.attempt = None;
        self.activity.settle_handshake();
        let ended = self.keyring.take_initiated(self.session(agreed, on));
        release(common, ended);
        common.changed = true;
        self.move_to(common, Some(from));
        self.last_handshake = Some(on.now.wall);
        self.activity.note_received(Batch::handshake(RESPONSE), now);
        self.send_keepalive(common, now);
        Ok(())
    }

    /// Takes a cookie: the next message will carry it.
    pub(crate) fn take_cookie(
        &mut self,
        reply: &[u8; COOKIE_REPLY],
        on: &Occasion<'_, '_>,
    ) -> Result<(), Rejection> {
        if self.holder.take(reply, on.moment()) { Ok(()) } else { Err(Rejection::NotAuthentic) }
    }

    /// Sends with the session that the peer began, once the peer has used it.
    pub(super) fn promote(&mut self, common: &mut Common, on: &Occasion<'_, '_>) {
        if let Some(ended) = self.keyring.promote() {
            release(common, ended);
            common.changed = true;
            self.abandon(common);
            self.last_handshake = Some(on.now.wall);
        }
    }

    fn session(&self, agreed: Agreed, on: &Occasion<'_, '_>) -> Arc<Session> {
        Arc::new(Session::new(agreed, Arc::clone(&self.activity), on.moment()))
    }
}

fn fresh(on: &mut Occasion<'_, '_>) -> Secret {
    let mut secret: Secret = Zeroizing::default();
    (on.random)(secret.as_mut_slice());
    secret
}

fn jitter(on: &mut Occasion<'_, '_>) -> std::time::Duration {
    let mut bytes = [0; 2];
    (on.random)(&mut bytes);
    MAX_JITTER * u32::from(u16::from_le_bytes(bytes)) / u32::from(u16::MAX)
}
