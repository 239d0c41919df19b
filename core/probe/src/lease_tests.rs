//! Candidates against an API that arbitrates by version, over a network that delays and loses.

use proptest::prelude::*;

use super::*;

const fn ms(count: u64) -> Moment {
    Moment(Duration::from_millis(count))
}

fn record(holder: &str, version: &str) -> LeaseRecord {
    let holder = Some(holder.to_owned());
    LeaseRecord { holder, version: version.to_owned(), transitions: 3, duration: None }
}

fn candidate(name: &str) -> Election {
    Election::new(name.to_owned(), LeaseTiming::DEFAULT, ms(0))
}

#[test]
fn a_missing_or_released_lease_is_taken_at_once() {
    let mut a = candidate("a");
    assert!(a.begin_attempt(ms(0)));
    assert_eq!(a.handle_read(ms(0), None), Decision::Acquire { transitions: 0 });
    a.handle_written(record("a", "1"), ms(5));
    assert!(a.holds(ms(6)));
    let released = a.release().unwrap();
    assert!(!a.holds(ms(6)));
    let mut b = candidate("b");
    assert!(b.begin_attempt(ms(0)));
    assert_eq!(b.handle_read(ms(0), Some(released)), Decision::Acquire { transitions: 4 });
}

#[test]
fn a_restarted_holder_goes_on_without_a_takeover() {
    let mut a = candidate("a");
    assert!(a.begin_attempt(ms(0)));
    assert_eq!(a.handle_read(ms(0), Some(record("a", "1"))), Decision::Renew);
}

#[test]
fn a_lease_that_does_not_change_is_taken_after_its_duration() {
    let mut b = candidate("b");
    for second in [0, 2, 4, 6, 8, 10, 12, 14] {
        let now = ms(second * 1000);
        assert!(b.begin_attempt(now));
        assert_eq!(b.handle_read(now, Some(record("a", "1"))), Decision::Wait);
    }
    assert!(b.begin_attempt(ms(16_000)));
    assert_eq!(b.handle_read(ms(16_000), Some(record("a", "1"))), Decision::Acquire { transitions: 4 });
}

#[test]
fn a_renewed_lease_keeps_others_away() {
    let mut b = candidate("b");
    for second in (0..100).step_by(2) {
        let now = ms(second * 1000);
        assert!(b.begin_attempt(now));
        assert_eq!(b.handle_read(now, Some(record("a", &second.to_string()))), Decision::Wait);
    }
}

#[test]
fn a_holder_that_cannot_renew_gives_up_before_others_begin() {
    let mut a = candidate("a");
    assert!(a.begin_attempt(ms(0)));
    assert_eq!(a.handle_read(ms(900), None), Decision::Acquire { transitions: 0 });
    a.handle_written(record("a", "1"), ms(1_000));
    assert!(a.begin_attempt(ms(2_000)));
    a.handle_failed();
    assert!(a.holds(ms(9_999)));
    assert!(!a.holds(ms(10_000)));
}

#[test]
fn durations_that_do_not_keep_two_apart_are_refused() {
    let seconds = Duration::from_secs;
    let timing = |duration, renew_deadline, retry| LeaseTiming {
        duration: seconds(duration),
        renew_deadline: seconds(renew_deadline),
        retry: seconds(retry),
    };
    assert!(timing(15, 10, 2).checked().is_ok());
    for wrong in [timing(10, 10, 2), timing(15, 2, 2), timing(15, 10, 0)] {
        assert!(wrong.checked().is_err(), "{wrong:?}");
    }
}

/// What happens to one candidate's attempt.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Read and write arrive, after these delays in milliseconds.
    Arrives(u64, u64),
    /// The read is lost.
    ReadLost,
    /// The write is done, but its answer is lost.
    AnswerLost,
    /// The process is started anew.
    Restart,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (0_u64..4000, 0_u64..9000).prop_map(|(read, write)| Fate::Arrives(read, write)),
        2 => Just(Fate::ReadLost),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Restart),
    ]
}

/// A write on its way to the API.
struct Write {
    arrives: Moment,
    by: usize,
    over: Option<String>,
    transitions: i32,
    answered: bool,
}

struct Model {
    now: Moment,
    lease: Option<LeaseRecord>,
    count: u32,
    candidates: Vec<Election>,
    busy: Vec<bool>,
    writes: Vec<Write>,
    takeovers: u32,
}

impl Model {
    fn new(count: usize) -> Self {
        let candidates = (0..count).map(|index| candidate(&index.to_string())).collect();
        let busy = vec![false; count];
        let (lease, writes) = (None, Vec::new());
        Self { now: ms(0), lease, count: 0, candidates, busy, writes, takeovers: 0 }
    }

    fn attempt(&mut self, by: usize, fate: Fate) {
        if let Fate::Restart = fate {
            self.candidates[by] = Election::new(by.to_string(), LeaseTiming::DEFAULT, self.now);
            self.busy[by] = false;
            self.writes.iter_mut().filter(|write| write.by == by).for_each(|write| write.answered = false);
            return;
        }
        if self.busy[by] || !self.candidates[by].begin_attempt(self.now) {
            return;
        }
        let (read, write) = match fate {
            Fate::Arrives(read, write) => (read, write),
            Fate::ReadLost | Fate::AnswerLost | Fate::Restart => (0, 0),
        };
        if let Fate::ReadLost = fate {
            self.candidates[by].handle_failed();
            return;
        }
        let read_at = self.now + Duration::from_millis(read);
        let decision = self.candidates[by].handle_read(read_at, self.lease.clone());
        let over = self.lease.as_ref().map(|lease| lease.version.clone());
        let transitions = match decision {
            Decision::Acquire { transitions } => transitions,
            Decision::Renew => self.lease.as_ref().map_or(0, |lease| lease.transitions),
            Decision::Wait => return,
        };
        let arrives = read_at + Duration::from_millis(write);
        let answered = !matches!(fate, Fate::AnswerLost);
        self.busy[by] = answered;
        self.writes.push(Write { arrives, by, over, transitions, answered });
        if !answered {
            self.candidates[by].handle_failed();
        }
    }

    fn tick(&mut self) {
        self.now = self.now + Duration::from_millis(500);
        let now = self.now;
        let (mut arrived, waiting): (Vec<Write>, Vec<Write>) =
            self.writes.drain(..).partition(|write| write.arrives <= now);
        self.writes = waiting;
        arrived.sort_by_key(|write| write.arrives);
        for write in arrived {
            self.arrive(&write);
        }
    }

    fn arrive(&mut self, write: &Write) {
        let accepted = self.lease.as_ref().map(|lease| lease.version.clone()) == write.over;
        if accepted {
            self.count += 1;
            let holder = write.by.to_string();
            let before = self.lease.as_ref().and_then(|lease| lease.holder.clone());
            self.takeovers += u32::from(before.is_some_and(|before| before != holder));
            self.lease = Some(LeaseRecord {
                holder: Some(holder),
                version: self.count.to_string(),
                transitions: write.transitions,
                duration: None,
            });
        }
        if write.answered {
            self.busy[write.by] = false;
            match (&self.lease, accepted) {
                (Some(lease), true) => self.candidates[write.by].handle_written(lease.clone(), self.now),
                _ => self.candidates[write.by].handle_failed(),
            }
        }
    }

    fn holders(&self) -> usize {
        self.candidates.iter().filter(|candidate| candidate.holds(self.now)).count()
    }
}

proptest! {
    #[test]
    fn never_two_hold_the_lease(
        count in 2_usize..4,
        fates in proptest::collection::vec((0_usize..4, fate()), 1..600),
    ) {
        let mut model = Model::new(count);
        for (by, fate) in fates {
            model.tick();
            model.attempt(by % count, fate);
            prop_assert!(model.holders() <= 1, "two hold it at {:?}", model.now);
        }
    }

    #[test]
    fn somebody_holds_it_once_the_network_is_well(
        fates in proptest::collection::vec((0_usize..3, fate()), 1..200),
    ) {
        let mut model = Model::new(3);
        for (by, fate) in fates {
            model.tick();
            model.attempt(by, fate);
        }
        for _ in 0..80 {
            model.tick();
            (0..3).for_each(|by| model.attempt(by, Fate::Arrives(0, 0)));
        }
        prop_assert_eq!(model.holders(), 1);
        let takeovers = model.takeovers;
        for _ in 0..100 {
            model.tick();
            (0..3).for_each(|by| model.attempt(by, Fate::Arrives(0, 0)));
        }
        prop_assert_eq!(model.takeovers, takeovers);
    }
}
