use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use subm_plan::{Applied, NodePlan, Scope, SysctlKey};
use subm_types::IfName;

use super::*;
use crate::Converger;

const LIMIT: Duration = Duration::from_secs(10);

/// A kernel that knows kernel parameters only.
#[derive(Clone, Default)]
struct Model(Arc<Mutex<Node>>);

#[derive(Default)]
struct Node {
    values: BTreeMap<SysctlKey, u32>,
    refused: BTreeSet<SysctlKey>,
    foreign: BTreeSet<IfName>,
    forgetful: bool,
    deaf: bool,
    looks: u32,
    waker: Option<Waker>,
    facts: HostFacts,
}

impl Model {
    fn node(&self) -> MutexGuard<'_, Node> {
        self.0.lock().unwrap()
    }

    fn start(&self, settings: Settings) -> Converger {
        let model = self.clone();
        for link in ["eth0", "eth1"] {
            model.node().values.entry(key(link)).or_insert(0);
        }
        Converger::start(settings, move |waker| {
            model.node().waker = Some(waker);
            Ok::<_, io::Error>(model.clone())
        })
        .unwrap()
    }

    /// Somebody changes a parameter, and the kernel says so.
    fn disturb(&self, key: &SysctlKey, value: u32) {
        let mut node = self.node();
        node.values.insert(key.clone(), value);
        node.waker.as_ref().unwrap().wake();
    }

    fn value(&self, key: &SysctlKey) -> Option<u32> {
        self.node().values.get(key).copied()
    }
}

impl World for Model {
    type Error = io::Error;

    fn facts(&mut self) -> io::Result<HostFacts> {
        self.node().looks += 1;
        Ok(self.node().facts.clone())
    }

    fn observe(&mut self, _: &Scope, plan: &NodePlan) -> io::Result<NodeState> {
        let node = self.node();
        if node.deaf {
            return Err(io::Error::other("no buffer space"));
        }
        let values = node.values.iter().filter(|(key, _)| plan.sysctls.contains_key(*key));
        let sysctls = values.map(|(key, value)| (key.clone(), *value)).collect();
        let own = NodePlan { sysctls, ..NodePlan::default() };
        Ok(NodeState { own, foreign_links: node.foreign.clone(), ..NodeState::default() })
    }

    fn apply(&mut self, _: &Scope, steps: &[Step]) -> Applied {
        let (mut applied, mut node) = (Applied::default(), self.node());
        for step in steps {
            let Step::SetSysctl(sysctl) = step else { panic!("{step}") };
            if node.refused.contains(&sysctl.key) {
                let reason = "operation not supported".to_owned();
                applied.failures.push(StepFailure { step: step.to_string(), reason });
                continue;
            }
            applied.done += 1;
            if !node.forgetful {
                node.values.insert(sysctl.key.clone(), sysctl.value);
            }
        }
        if let Some(waker) = &node.waker {
            waker.wake();
        }
        applied
    }
}

fn key(link: &str) -> SysctlKey {
    SysctlKey::RpFilter(link.parse().unwrap())
}

fn plan(links: &[&str]) -> NodePlan {
    NodePlan { sysctls: links.iter().map(|link| (key(link), 2)).collect(), ..NodePlan::default() }
}

fn settings() -> Settings {
    Settings::new(Scope::gateway())
}

fn wait(converger: &Converger, holds: impl Fn(&Report) -> bool) -> Report {
    let begin = Instant::now();
    loop {
        let report = converger.report().borrow().clone();
        if holds(&report) {
            return report;
        }
        assert!(begin.elapsed() < LIMIT, "never so, but {report:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn nothing_is_changed_before_the_first_plan_but_facts_are_told() {
    let model = Model::default();
    model.node().values.insert(key("eth0"), 1);
    let converger = model.start(settings());
    wait(&converger, |report| report.looks > 0);
    assert!(converger.facts().borrow().is_some());
    model.node().facts.rp_filter_all = Some(1);
    converger.waker().wake();
    wait(&converger, |_| converger.facts().borrow().as_ref().unwrap().rp_filter_all == Some(1));
    assert_eq!(model.value(&key("eth0")), Some(1));
    assert_eq!((converger.report().borrow().generation, converger.report().borrow().taken), (0, 0));
}

#[test]
fn plan_is_reached_and_told() {
    let model = Model::default();
    let converger = model.start(settings());
    assert_eq!(converger.set_plan(plan(&["eth0", "eth1"])), 1);
    let report = wait(&converger, |report| report.converged);
    assert_eq!((report.generation, report.taken, report.drift_total()), (1, 2, 0));
    assert_eq!(report.steps.len(), 2);
    assert_eq!(converger.set_plan(plan(&["eth0", "eth1"])), 1, "the same plan is no new one");
    assert_eq!(converger.set_plan(plan(&["eth0"])), 2);
    wait(&converger, |report| report.generation == 2 && report.converged);
}

#[test]
fn what_others_change_is_put_back_at_once_and_counted() {
    let model = Model::default();
    let converger = model.start(settings());
    converger.set_plan(plan(&["eth0", "eth1"]));
    wait(&converger, |report| report.converged);
    for round in 1..=20 {
        let begin = Instant::now();
        model.disturb(&key("eth0"), 1);
        wait(&converger, |report| report.drift_total() == round && report.converged);
        assert_eq!(model.value(&key("eth0")), Some(2));
        assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
    }
    assert_eq!(converger.report().borrow().drift.get(&ObjectKind::Sysctl), Some(&20));
}

#[test]
fn step_that_cannot_be_taken_is_told_and_keeps_nothing_else_back() {
    let model = Model::default();
    model.node().refused.insert(key("eth0"));
    let converger = model.start(settings());
    converger.set_plan(plan(&["eth0", "eth1"]));
    let report = wait(&converger, |report| report.taken == 1);
    assert_eq!(report.failures.len(), 1);
    assert_eq!(report.failures[0].reason, "operation not supported");
    // Long enough for the pause between attempts to have grown.
    std::thread::sleep(Duration::from_secs(1));
    let begin = Instant::now();
    model.disturb(&key("eth1"), 0);
    wait(&converger, |report| report.drift_total() == 1);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    assert_eq!(model.value(&key("eth1")), Some(2));
    model.node().refused.clear();
    let report = wait(&converger, |report| report.converged);
    assert_eq!((report.failures.len(), report.drift_total()), (0, 1));
}

#[test]
fn dry_run_tells_and_changes_nothing() {
    let model = Model::default();
    let converger = model.start(Settings { mode: Mode::DryRun, ..settings() });
    converger.set_plan(plan(&["eth0"]));
    let report = wait(&converger, |report| !report.steps.is_empty());
    assert_eq!((report.taken, report.converged, model.value(&key("eth0"))), (0, false, Some(0)));
    assert!(converger.steps_text().contains(&report.steps[0]));
    assert!(converger.plan_text().contains("rp_filter = 2"));
}

#[test]
fn storm_of_news_is_gathered() {
    let model = Model::default();
    let converger = model.start(settings());
    converger.set_plan(plan(&["eth0"]));
    wait(&converger, |report| report.converged);
    let (before, begin) = (model.node().looks, Instant::now());
    while begin.elapsed() < Duration::from_millis(200) {
        converger.waker().wake();
    }
    let looks = model.node().looks - before;
    assert!((2..=110).contains(&looks), "{looks} looks in 200 ms");
}

#[test]
fn world_that_never_becomes_what_is_planned_is_not_hammered() {
    let model = Model::default();
    model.node().forgetful = true;
    let converger = model.start(settings());
    converger.set_plan(plan(&["eth0"]));
    std::thread::sleep(Duration::from_secs(1));
    let looks = model.node().looks;
    assert!((5..=20).contains(&looks), "{looks} looks in a second");
    assert!(!converger.report().borrow().converged);
}

#[test]
fn world_that_cannot_be_opened_or_observed_is_tried_again() {
    let model = Model::default();
    model.node().values.insert(key("eth0"), 0);
    let (open, refusals) = (model.clone(), Arc::new(Mutex::new(2)));
    let converger = Converger::start(settings(), move |_| {
        let mut left = refusals.lock().unwrap();
        if *left == 0 {
            return Ok(open.clone());
        }
        *left -= 1;
        Err(io::Error::from(io::ErrorKind::PermissionDenied))
    })
    .unwrap();
    converger.set_plan(plan(&["eth0"]));
    let report = wait(&converger, |report| report.trouble.is_some());
    assert_eq!(report.trouble.unwrap().to_string(), "cannot open the world: permission denied");
    wait(&converger, |report| report.converged && report.trouble.is_none());
    model.node().deaf = true;
    converger.waker().wake();
    let report = wait(&converger, |report| report.trouble.is_some());
    assert_eq!(report.trouble.unwrap().operation, "observe");
    model.node().deaf = false;
    wait(&converger, |report| report.converged);
}

#[test]
fn links_of_others_are_told() {
    let model = Model::default();
    model.node().foreign.insert("vxlan-tunnel".parse().unwrap());
    let converger = model.start(settings());
    converger.set_plan(plan(&[]));
    let report = wait(&converger, |report| report.converged);
    assert_eq!(report.foreign_links.len(), 1);
}

#[test]
fn thread_ends_with_the_last_handle_and_leaves_the_world() {
    let model = Model::default();
    let converger = model.start(settings());
    converger.set_plan(plan(&["eth0"]));
    wait(&converger, |report| report.converged);
    let mut report = converger.report();
    drop(converger);
    let begin = Instant::now();
    while report.has_changed().is_ok() {
        report.mark_unchanged();
        assert!(begin.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(model.value(&key("eth0")), Some(2));
}
