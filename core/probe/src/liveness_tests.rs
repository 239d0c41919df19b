//! A liveness prober and a network with loss and delay, in virtual time.

use super::*;

/// Numbers that look random and are the same every time (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn percent(&mut self) -> u64 {
        self.roll() % 100
    }
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn target(last: u8) -> Target {
    Target { to: address(last), from: None, pace: Pace::CABLE, sample_interval: ms(1000) }
}

struct Network {
    prober: Liveness<u8>,
    dice: Dice,
    now: Moment,
    loss: u64,
    delay: Duration,
    flying: BTreeMap<(Moment, u64), Transmit>,
    changes: Vec<(Moment, Verdict)>,
}

impl Network {
    fn new(seed: u64, loss: u64, delay: Duration) -> Self {
        let mut prober = Liveness::new(7, seed);
        prober.set_targets(Moment::default(), &BTreeMap::from([(1, target(1))]));
        let now = Moment::default();
        Self { prober, dice: Dice(seed), now, loss, delay, flying: BTreeMap::new(), changes: Vec::new() }
    }

    fn run_until(&mut self, end: Moment) {
        loop {
            let arrival = self.flying.first_key_value().map(|(&(at, _), _)| at);
            let next = self.prober.poll_timeout().into_iter().chain(arrival).min().unwrap();
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= next) {
                let packet = entry.remove();
                self.prober.handle_reply(next, packet.to, &packet.echo);
            }
            self.prober.handle_timeout(next);
            while let Some(packet) = self.prober.poll_transmit() {
                self.carry(packet);
            }
            while let Some(key) = self.prober.poll_changed() {
                self.changes.push((next, self.prober.probe(&key).unwrap().verdict));
            }
        }
    }

    fn carry(&mut self, packet: Transmit) {
        if self.dice.percent() >= self.loss {
            let order = self.dice.roll();
            self.flying.insert((self.now + self.delay, order), packet);
        }
    }

    fn verdict(&self) -> Verdict {
        self.prober.probe(&1).unwrap().verdict
    }
}

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn five_percent_loss_never_looks_like_death() {
    for seed in 0..10 {
        let mut network = Network::new(seed, 5, ms(40));
        network.run_until(Moment(HOUR * 10));
        let verdicts: Vec<Verdict> = network.changes.iter().map(|(_, verdict)| *verdict).collect();
        assert_eq!(verdicts, [Verdict::Pending, Verdict::Alive], "seed {seed}");
    }
}

#[test]
fn a_slow_path_is_alive() {
    let mut network = Network::new(1, 0, ms(2500));
    network.run_until(Moment(ms(60_000)));
    let late: Vec<_> = network.changes.iter().filter(|(at, _)| at.0 > ms(2600)).collect();
    assert!(late.is_empty(), "{late:?}");
    assert_eq!(network.verdict(), Verdict::Alive);
    assert_eq!(network.prober.probe(&1).unwrap().latency.unwrap().average.as_millis(), 2500);
}

#[test]
fn a_dead_path_is_noticed_within_a_second_and_its_return_at_once() {
    let mut network = Network::new(1, 0, ms(10));
    network.run_until(Moment(ms(5_000)));
    assert_eq!(network.verdict(), Verdict::Alive);
    network.loss = 100;
    network.run_until(Moment(ms(6_150)));
    assert_eq!(network.verdict(), Verdict::Dead);
    assert!(network.prober.probe(&1).unwrap().unanswered >= 10);
    network.loss = 0;
    network.run_until(Moment(ms(6_350)));
    assert_eq!(network.verdict(), Verdict::Alive);
}

#[test]
fn a_path_that_never_answers_is_dead_after_as_many_probes_as_may_be_lost() {
    let mut network = Network::new(1, 100, ms(10));
    network.run_until(Moment(ms(950)));
    assert_eq!(network.verdict(), Verdict::Pending);
    network.run_until(Moment(ms(1_050)));
    assert_eq!(network.verdict(), Verdict::Dead);
}

#[test]
fn statistics_follow_the_interval_of_the_user() {
    let mut network = Network::new(1, 0, ms(10));
    network.prober.set_targets(
        Moment::default(),
        &BTreeMap::from([(1, Target { sample_interval: ms(5000), ..target(1) })]),
    );
    network.run_until(Moment(ms(4_900)));
    network.delay = ms(30);
    network.run_until(Moment(ms(5_900)));
    let latency = network.prober.probe(&1).unwrap().latency.unwrap();
    assert_eq!((latency.min, latency.last, latency.max), (ms(10), ms(30), ms(30)));
    assert_eq!(latency.average.as_millis(), 20);
}

#[test]
fn a_process_that_slept_does_not_call_the_path_dead_and_sends_no_burst() {
    let mut network = Network::new(1, 0, ms(10));
    network.run_until(Moment(ms(1_000)));
    let later = Moment(ms(60_000));
    network.prober.handle_timeout(later);
    assert!(network.prober.poll_transmit().is_some());
    assert!(network.prober.poll_transmit().is_none());
    assert_eq!(network.verdict(), Verdict::Alive);
    assert_eq!(network.prober.poll_timeout(), Some(later + ms(100)));
}

#[test]
fn answers_of_others_do_not_count() {
    let now = Moment::default();
    let mut prober = Liveness::new(7, 99);
    prober.set_targets(now, &BTreeMap::from([(1, target(1)), (2, target(2))]));
    prober.handle_timeout(now);
    let ours = prober.poll_transmit().unwrap();
    assert_eq!(ours.to, address(1));
    let forged = Echo { payload: vec![0; 8], ..ours.echo.clone() };
    prober.handle_reply(now, address(1), &forged);
    prober.handle_reply(now, address(2), &ours.echo);
    assert_eq!(prober.probe(&1).unwrap().verdict, Verdict::Pending);
    assert_eq!(prober.probe(&2).unwrap().verdict, Verdict::Pending);
    prober.handle_reply(now, address(1), &ours.echo);
    assert_eq!(prober.probe(&1).unwrap().verdict, Verdict::Alive);
    prober.handle_reply(now, address(1), &ours.echo);
    assert_eq!(prober.probe(&1).unwrap().unanswered, 0);
}

#[test]
fn a_new_address_is_judged_anew_and_the_same_one_is_not() {
    let mut network = Network::new(1, 0, ms(10));
    network.run_until(Moment(ms(1_000)));
    let now = network.now;
    let faster = Target { pace: Pace { interval: ms(50), losses: 3 }, ..target(1) };
    network.prober.set_targets(now, &BTreeMap::from([(1, faster)]));
    assert_eq!(network.verdict(), Verdict::Alive);
    network.prober.set_targets(now, &BTreeMap::from([(1, target(9))]));
    assert_eq!(network.verdict(), Verdict::Pending);
    network.prober.set_targets(now, &BTreeMap::new());
    assert_eq!(network.prober.probe(&1), None);
    assert_eq!(network.prober.poll_timeout(), None);
}
