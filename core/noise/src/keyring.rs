//! The sessions with one peer: which one sends, which ones still receive.

use std::sync::Arc;

use subm_types::Moment;

use crate::session::Session;

/// How many replaced sessions still receive what was under way.
const OLD: usize = 2;

/// The sessions with one peer.
#[derive(Default)]
pub(crate) struct Keyring {
    /// The one to send with.
    current: Option<Arc<Session>>,
    /// One that we answered for, until the peer shows that it has it too.
    next: Option<Arc<Session>>,
    /// Those that were replaced, the latest first.
    old: Vec<Arc<Session>>,
}

impl Keyring {
    /// Takes a session that we began: the peer has it, so we send with it. Gives the sessions that end thereby.
    #[must_use]
    pub(crate) fn take_initiated(&mut self, session: Arc<Session>) -> Vec<Arc<Session>> {
        let replaced = [self.next.take(), self.current.replace(session)];
        self.retire(replaced.into_iter().flatten())
    }

    /// Takes a session that the peer began. One that it never used ends: it has begun anew since.
    #[must_use]
    pub(crate) fn take_responded(&mut self, session: Arc<Session>) -> Vec<Arc<Session>> {
        self.next.replace(session).into_iter().collect()
    }

    /// Sends with the session that the peer has confirmed, if there is one. Gives the sessions that end thereby.
    #[must_use]
    pub(crate) fn promote(&mut self) -> Option<Vec<Arc<Session>>> {
        let next = self.next.take_if(|next| next.is_confirmed())?;
        let replaced = self.current.replace(next);
        Some(self.retire(replaced))
    }

    /// Gives the sessions that are too old.
    #[must_use]
    pub(crate) fn expire(&mut self, now: Moment) -> Vec<Arc<Session>> {
        let over = |session: &mut Arc<Session>| session.ends() <= now;
        let mut ended: Vec<_> = self.old.extract_if(.., over).collect();
        ended.extend(self.next.take_if(over));
        ended.extend(self.current.take_if(over));
        ended
    }

    /// Ends all sessions.
    #[must_use]
    pub(crate) fn clear(&mut self) -> Vec<Arc<Session>> {
        let all = self.all().cloned().collect();
        *self = Self::default();
        all
    }

    /// The session to send with.
    pub(crate) const fn current(&self) -> Option<&Arc<Session>> {
        self.current.as_ref()
    }

    /// Every session with which we receive.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.current.iter().chain(&self.next).chain(&self.old)
    }

    fn retire(&mut self, replaced: impl IntoIterator<Item = Arc<Session>>) -> Vec<Arc<Session>> {
        for session in replaced {
            self.old.insert(0, session);
        }
        self.old.split_off(self.old.len().min(OLD))
    }
}
