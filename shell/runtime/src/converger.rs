//! The thread that makes the world what the plan says, and keeps it so.
//!
//! It runs on a new plan, when the kernel says that something changed, and on a timer: reads the facts, observes,
//! takes the steps of the difference, and tells what came of it. Before the first plan it changes nothing.

mod drift;
mod inbox;
mod report;
mod worker;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use subm_plan::{HostFacts, NodePlan, Scope, World};
use tokio::sync::watch;

pub use drift::ObjectKind;
pub use report::{Report, Trouble};

use inbox::Inbox;
use worker::Worker;

/// Whether steps are taken or only told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Steps are taken.
    #[default]
    Apply,
    /// Steps are logged and reported, and nothing is changed.
    DryRun,
}

/// How a converger works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose objects these are.
    pub scope: Scope,
    /// Whether steps are taken.
    pub mode: Mode,
    /// How often the world is looked at though nothing happened; up to a tenth is added at random.
    pub resync: Duration,
}

impl Settings {
    /// Takes the steps for a scope and looks every 30 seconds.
    pub const fn new(scope: Scope) -> Self {
        Self { scope, mode: Mode::Apply, resync: Duration::from_secs(30) }
    }
}

/// Tells a converger that something in the world changed; cheap, and any number of calls count as one.
#[derive(Clone)]
pub struct Waker(Arc<Inbox>);

impl Waker {
    /// Asks for a look at the world.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// A handle on the thread; when the last one is gone the thread ends and leaves the world as it is.
#[derive(Debug, Clone)]
pub struct Converger(Arc<Handle>);

struct Handle {
    inbox: Arc<Inbox>,
    facts: watch::Receiver<Option<HostFacts>>,
    report: watch::Receiver<Report>,
}

impl Converger {
    /// Starts the thread in the caller's network namespace.
    ///
    /// The world is built inside the thread and need not be `Send`; where that fails it is tried again, and the
    /// report says why. The builder gives the waker to whatever hears of changes.
    pub fn start<W, E, B>(settings: Settings, build: B) -> io::Result<Self>
    where
        W: World,
        E: std::error::Error,
        B: FnMut(Waker) -> Result<W, E> + Send + 'static,
    {
        let inbox = Arc::new(Inbox::default());
        let (facts_sender, facts) = watch::channel(None);
        let (report_sender, report) = watch::channel(Report::default());
        let (waker, seen) = (Waker(Arc::clone(&inbox)), Arc::clone(&inbox));
        let name = format!("converge-{}", settings.scope.owner);
        std::thread::Builder::new().name(name).spawn(move || {
            Worker::new(settings, seen, facts_sender, report_sender).run(&waker, build);
        })?;
        Ok(Self(Arc::new(Handle { inbox, facts, report })))
    }

    /// Says what the world is to be from now on, and returns the plan's generation: the present one if the plan
    /// is what it was.
    pub fn set_plan(&self, plan: NodePlan) -> u64 {
        self.0.inbox.set_plan(plan)
    }

    /// What the host is like; `None` until it was read for the first time.
    pub fn facts(&self) -> watch::Receiver<Option<HostFacts>> {
        self.0.facts.clone()
    }

    /// What came of the plans. A watcher is told when something changed that matters, not of every look.
    pub fn report(&self) -> watch::Receiver<Report> {
        self.0.report.clone()
    }

    /// Asks for a look at the world.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.0.inbox))
    }

    /// The plan that is being kept, as text; for `/debug/plan`.
    pub fn plan_text(&self) -> String {
        self.0.inbox.wanted().map_or_else(String::new, |wanted| wanted.plan.to_string())
    }

    /// The last steps, as text; for `/debug/steps`.
    pub fn steps_text(&self) -> String {
        self.0.report.borrow().to_string()
    }

    /// The links that stand under our names and are somebody else's.
    pub fn foreign_links(&self) -> BTreeSet<subm_types::IfName> {
        self.0.report.borrow().foreign_links.clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inbox.stop();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Converger").field("report", &*self.report.borrow()).finish_non_exhaustive()
    }
}
