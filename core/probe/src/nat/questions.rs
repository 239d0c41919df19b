//! Questions that wait for an answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use subm_types::{CableId, Moment};

use super::Way;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which address of which end a question went to.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: CableId,
    pub(super) way: Way,
}

/// By their numbers: whoever answers must have seen the question.
#[derive(Debug, Default)]
pub(super) struct Questions {
    open: BTreeMap<u64, Asked>,
    /// In the order of asking.
    order: VecDeque<(Moment, u64)>,
}

impl Questions {
    pub(super) fn add(&mut self, now: Moment, number: u64, id: CableId, way: Way) {
        self.open.insert(number, Asked { id, way });
        self.order.push_back((now, number));
    }

    pub(super) fn get(&self, number: u64) -> Option<&Asked> {
        self.open.get(&number)
    }

    pub(super) fn close(&mut self, number: u64) {
        self.open.remove(&number);
    }

    pub(super) fn forget(&mut self, now: Moment) {
        while let Some((_, number)) = self.order.pop_front_if(|(asked, _)| now.since(*asked) > PATIENCE) {
            self.open.remove(&number);
        }
    }
}
