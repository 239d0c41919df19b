//! A tunnel end that runs: threads over a device and two sockets.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use subm_noise::{PeerConfig, PeerProblem, PeerStatus, PrivateKey, PublicKey};

use crate::control::{self, Control};
use crate::device::Device;
use crate::error::EngineError;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::shared::{Shared, Stop, lock};
use crate::socket::Sockets;

/// More threads than this would wait for each other.
const MOST_THREADS: usize = 16;
/// Threads hold nothing large on their stacks.
const STACK_BYTES: usize = 256 << 10;

/// What an engine is to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Our own key.
    pub private_key: PrivateKey,
    /// The UDP port in both families; 0 lets the kernel choose.
    pub listen_port: u16,
    /// The peers.
    pub peers: BTreeMap<PublicKey, PeerConfig>,
}

/// What an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The link.
    pub link: String,
    /// Our own key.
    pub public_key: PublicKey,
    /// The UDP port in both families.
    pub listen_port: u16,
    /// The peers as they are.
    pub peers: BTreeMap<PublicKey, PeerStatus>,
}

/// A running tunnel end. It ends when it is dropped; a persistent link stays.
///
/// Sockets belong to the network namespace of the thread that starts the engine; `set` is called in the same one.
pub struct Engine {
    shared: Arc<Shared>,
    control: Arc<Mutex<Control>>,
    control_thread: Option<JoinHandle<()>>,
    carriers: Carriers,
    /// The port that was asked for.
    port: u16,
}

impl Engine {
    /// Starts over a device. Peers that cannot be are left out and told.
    pub fn start(device: Box<dyn Device>, config: &Config) -> Result<(Self, Vec<PeerProblem>), EngineError> {
        let mtu =
            device.mtu().map_err(|source| EngineError::Mtu { link: device.name().to_owned(), source })?;
        let sockets = Arc::new(Sockets::bind(config.listen_port)?);
        let mut protocol = subm_noise::Device::new(&config.private_key);
        let shared = Arc::new(Shared::new(device, protocol.poll_table(), mtu));
        let control = Arc::new(Mutex::new(Control::new(protocol, Arc::clone(&sockets))));
        let carriers = Carriers::start(&shared, &sockets)?;
        let mut engine = Self { shared, control, control_thread: None, carriers, port: config.listen_port };
        let problems = engine.set_peers(config);
        let (shared, control) = (Arc::clone(&engine.shared), Arc::clone(&engine.control));
        engine.control_thread = Some(spawn("wg-control", move || control::run(&shared, &control))?);
        Ok((engine, problems))
    }

    /// Makes the engine what it is to be. Peers that stay as they are notice nothing. With a port that cannot be had
    /// all stays as it was.
    pub fn set(&mut self, config: &Config) -> Result<Vec<PeerProblem>, EngineError> {
        if config.listen_port != self.port {
            let sockets = Arc::new(Sockets::bind(config.listen_port)?);
            let carriers = Carriers::start(&self.shared, &sockets)?;
            lock(&self.control).sockets = sockets;
            self.carriers = carriers;
            self.port = config.listen_port;
        }
        Ok(self.set_peers(config))
    }

    fn set_peers(&self, config: &Config) -> Vec<PeerProblem> {
        let problems = lock(&self.control).with(&self.shared, |protocol, now, random| {
            protocol.set_private_key(&config.private_key, now, random);
            protocol.set_peers(&config.peers, now, random)
        });
        // Deadlines may have changed.
        self.shared.mailbox.ring();
        problems
    }

    /// What the engine is now.
    pub fn observe(&self) -> Result<State, EngineError> {
        let link = self.shared.device.name().to_owned();
        if self.shared.lost.load(Ordering::Acquire) {
            return Err(EngineError::DeviceLost { link });
        }
        let control = lock(&self.control);
        Ok(State {
            link,
            public_key: control.protocol.public_key(),
            listen_port: control.sockets.port(),
            peers: control.protocol.status(),
        })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.mailbox.end();
        if let Some(thread) = self.control_thread.take() {
            join(thread);
        }
    }
}

/// The threads that carry packets over one pair of sockets. They end when it is dropped.
struct Carriers {
    stop: Arc<Stop>,
    threads: Vec<JoinHandle<()>>,
}

impl Carriers {
    fn start(shared: &Arc<Shared>, sockets: &Arc<Sockets>) -> Result<Self, EngineError> {
        let count = thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_THREADS));
        let stop = Arc::new(Stop::new().map_err(EngineError::Threads)?);
        let outbound =
            Arc::new(Outbound::new(Arc::clone(shared), Arc::clone(sockets), Arc::clone(&stop), count));
        let inbound =
            Arc::new(Inbound::new(Arc::clone(shared), Arc::clone(sockets), Arc::clone(&stop), count));
        // From here on dropping it ends what was started, also if a later thread cannot be had.
        let mut carriers = Self { stop, threads: Vec::with_capacity(2 * count) };
        for _ in 0..count {
            let (outbound, inbound) = (Arc::clone(&outbound), Arc::clone(&inbound));
            carriers.threads.push(spawn("wg-out", move || outbound.run())?);
            carriers.threads.push(spawn("wg-in", move || inbound.run())?);
        }
        Ok(carriers)
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        self.stop.stop();
        self.threads.drain(..).for_each(join);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, EngineError> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    builder.spawn(body).map_err(EngineError::Threads)
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the tunnel ended in a panic");
    }
}
