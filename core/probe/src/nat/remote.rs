//! One remote end: when it is asked, and what its answers say.

use std::net::IpAddr;
use std::time::Duration;

use subm_types::Moment;

use super::{Found, IdForm, RemoteEnd, Way};

/// Until it has answered, it is asked so often.
const UNANSWERED: Duration = Duration::from_secs(1);
/// A new one is asked so often at first: its answer saves users a wait.
const NEW: Duration = Duration::from_millis(250);
/// So many questions are those of a new one.
const NEW_QUESTIONS: u32 = 4;
/// One that has answered is asked so often whether that is still so.
const ANSWERED: Duration = Duration::from_secs(20);
/// Where the public address was first, the private one may still win so long.
const PREFERENCE: Duration = Duration::from_secs(1);
/// A way that has not answered for so long gives place to one that does.
const FRESH: Duration = Duration::from_secs(65);

#[derive(Debug)]
pub(super) struct Remote {
    end: RemoteEnd,
    form: IdForm,
    due: Moment,
    /// Questions since it was new or in doubt.
    questions: u32,
    private: Option<Answered>,
    public: Option<Answered>,
    chosen: Option<Chosen>,
}

/// The last answer by one way.
#[derive(Debug, Clone, Copy)]
struct Answered {
    at: Moment,
    nat: bool,
}

/// The way in use.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    found: Found,
    since: Moment,
}

impl Remote {
    pub(super) fn new(end: RemoteEnd, now: Moment) -> Self {
        Self { end, form: IdForm::Bare, due: now, questions: 0, private: None, public: None, chosen: None }
    }

    pub(super) const fn end(&self) -> &RemoteEnd {
        &self.end
    }

    pub(super) const fn form(&self) -> IdForm {
        self.form
    }

    pub(super) const fn due(&self) -> Moment {
        self.due
    }

    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.due <= now
    }

    pub(super) fn found(&self) -> Option<Found> {
        self.chosen.map(|chosen| chosen.found)
    }

    /// Its addresses; once where both are the same.
    pub(super) fn ways(&self) -> Vec<(Way, IpAddr)> {
        let public = self.end.public_ip.filter(|public| Some(*public) != self.end.private_ip);
        let private = self.end.private_ip.map(|private| (Way::Private, private));
        private.into_iter().chain(public.map(|public| (Way::Public, public))).collect()
    }

    /// Notes that it was asked.
    pub(super) fn asked(&mut self, now: Moment) {
        self.questions = self.questions.saturating_add(1);
        let answered = self.private.is_some() || self.public.is_some();
        let pause = match (answered, self.questions) {
            (true, _) => ANSWERED,
            (false, ..NEW_QUESTIONS) => NEW,
            (false, _) => UNANSWERED,
        };
        self.due = now + pause;
    }

    pub(super) fn ask_soon(&mut self, now: Moment) {
        self.questions = 0;
        self.due = now;
    }

    /// Forgets who answered, but not what is in use.
    pub(super) fn doubt(&mut self, now: Moment) {
        (self.private, self.public) = (None, None);
        self.ask_soon(now);
    }

    /// Asks by the other form from now on.
    pub(super) fn change_form(&mut self, now: Moment) {
        self.form = match self.form {
            IdForm::Bare => IdForm::WithFamily,
            IdForm::WithFamily => IdForm::Bare,
        };
        // One that knows neither is asked no faster for it.
        self.due = self.due.min(now + NEW);
    }

    /// Takes an answer; tells whether it changes what is found.
    pub(super) fn answered(&mut self, now: Moment, way: Way, nat: bool) -> bool {
        let answer = Some(Answered { at: now, nat });
        match way {
            Way::Private => self.private = answer,
            Way::Public => self.public = answer,
        }
        let Some(found) = self.choose(now) else { return false };
        let changed = self.found() != Some(found);
        if changed {
            self.due = now + ANSWERED;
        }
        let same_way = self.chosen.filter(|chosen| chosen.found.way == found.way);
        self.chosen = Some(Chosen { found, since: same_way.map_or(now, |chosen| chosen.since) });
        changed
    }

    /// The way in use while it answers; the private one where that answers about as soon.
    fn choose(&self, now: Moment) -> Option<Found> {
        let fresh = |answer: Option<Answered>| answer.filter(|answer| now.since(answer.at) <= FRESH);
        let by = |way, answer: Option<Answered>, address: Option<IpAddr>| {
            Some(Found { way, address: address?, nat: fresh(answer)?.nat })
        };
        let private = by(Way::Private, self.private, self.end.private_ip);
        let public = by(Way::Public, self.public, self.end.public_ip);
        let settled = |chosen: &Chosen| now.since(chosen.since) > PREFERENCE;
        match self.chosen.filter(settled).map(|chosen| chosen.found.way) {
            Some(Way::Public) => public.or(private),
            Some(Way::Private) | None => private.or(public),
        }
    }
}
