//! When something is due for one peer, and what.

use std::time::Duration;

use subm_types::Moment;

use super::{Common, Occasion, Peer};
use crate::timing::{KEEPALIVE_TIMEOUT, REKEY_TIMEOUT};

/// A peer that was sent data and stays silent for so long has perhaps lost the session.
const SILENCE: Duration = Duration::from_secs(KEEPALIVE_TIMEOUT.as_secs() + REKEY_TIMEOUT.as_secs());

impl Peer {
    /// Does what is due and what the data path asked for.
    pub(crate) fn handle_timeout(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) {
        if let Some(to) = self.activity.take_roamed() {
            self.move_to(common, Some(to));
        }
        self.promote(common, on);
        let ended = self.keyring.expire(on.moment());
        super::release(common, ended);
        self.break_silence(common, on);
        self.keep_alive(common, on);
        self.renew(common, on);
        self.continue_attempt(common, on);
    }

    /// When something is due next. What the data path may note from now on is due no earlier than that.
    pub(crate) fn deadline(&self, now: Moment) -> Option<Moment> {
        let attempt = self.attempt.as_ref().map(|attempt| attempt.next);
        let ends = self.keyring.all().map(|session| session.ends()).min();
        [attempt, ends, self.silence_ends(now), self.keepalive_due(now)].into_iter().flatten().min()
    }

    /// The peer sends nothing although we do: perhaps it has lost the session.
    fn break_silence(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) {
        let since = self.activity.unanswered();
        if since.is_some_and(|since| on.moment().since(since) >= SILENCE) {
            self.activity.settle_unanswered();
            self.begin(common, on);
        }
    }

    fn silence_ends(&self, now: Moment) -> Option<Moment> {
        self.keyring.current()?;
        Some(self.activity.unanswered().unwrap_or(now) + SILENCE)
    }

    fn keep_alive(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) {
        let now = on.moment();
        if self.keepalive_due(now).is_some_and(|due| due <= now) {
            if self.can_send() {
                self.send_keepalive(common, now);
            } else {
                self.begin(common, on);
            }
        }
    }

    /// When an empty packet is due: as an answer, or because the peer shall hear of us in any case.
    fn keepalive_due(&self, now: Moment) -> Option<Moment> {
        self.endpoint?;
        let persistent = self.config.keepalive.filter(|every| !every.is_zero());
        let persistent = persistent.map(|every| self.activity.last_sent().map_or(now, |last| last + every));
        if self.can_send() {
            let answer = self.activity.unacknowledged().unwrap_or(now) + KEEPALIVE_TIMEOUT;
            Some(persistent.map_or(answer, |persistent| persistent.min(answer)))
        } else {
            // Without a session the attempt has its own pace.
            persistent.filter(|_| self.attempt.is_none())
        }
    }

    fn can_send(&self) -> bool {
        self.endpoint.is_some() && self.keyring.current().is_some_and(|session| session.has_numbers())
    }

    /// A packet waits for a session, or the session gets old.
    fn renew(&mut self, common: &mut Common, on: &mut Occasion<'_, '_>) {
        if !self.activity.wants_handshake() || self.attempt.is_some() {
            return;
        }
        let session = self.keyring.current();
        if session.is_none_or(|session| session.wants_renewal(on.moment())) {
            self.begin(common, on);
        } else {
            self.activity.settle_handshake();
        }
    }
}
