//! Load on the way from one host to another: how much of it passes, and what that costs.

mod requests;
mod streams;

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use subm_lab::Host;

use crate::usage;

const PATIENCE: Duration = Duration::from_secs(20);
/// How often a generator that cannot go on looks whether it shall end.
const GLANCE: Duration = Duration::from_millis(100);

/// From one host to another.
#[derive(Clone, Debug)]
pub struct Way {
    /// Where connections begin.
    pub from: Host,
    /// Where they end.
    pub to: Host,
    /// The other end, as it is reached on the way that is meant.
    pub address: IpAddr,
}

/// What is asked of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// This many TCP connections, each as fast as it can go.
    Streams(usize),
    /// 64 bytes there and 64 back over one TCP connection, one after the other.
    Requests,
}

impl Load {
    /// How figures of it are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Streams(1) => "one-flow",
            Self::Streams(4) => "four-flows",
            Self::Streams(_) => "flows",
            Self::Requests => "requests",
        }
    }

    /// What its rate counts.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Streams(_) => "Gbit/s",
            Self::Requests => "per s",
        }
    }
}

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Until a connection has found its pace.
    pub warm_up: Duration,
    /// What counts.
    pub measured: Duration,
}

/// What passed within a window.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// In the unit of the load.
    pub rate: f64,
    /// Seconds of the given processes for a gigabyte of payload, or for a million requests.
    pub processes: f64,
    /// Seconds of all processors, generators too, for the same.
    pub machine: f64,
}

/// A generator at work; it ends when it is told or dropped.
struct Running {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// Loads a way and counts.
pub fn measure(way: &Way, load: Load, processes: &[u32], window: Window) -> Result<Passed> {
    let running = match load {
        Load::Streams(flows) => streams::start(way, flows)?,
        Load::Requests => requests::start(way)?,
    };
    thread::sleep(window.warm_up);
    let look = || -> Result<(Instant, u64, f64, f64)> {
        let count = running.count.load(Ordering::Relaxed);
        Ok((Instant::now(), count, usage::of_processes(processes)?, usage::of_machine()?))
    };
    let before = look()?;
    thread::sleep(window.measured);
    let after = look()?;
    running.finish()?;
    ensure!(after.1 > before.1, "nothing passed from {} to {}", way.from.name(), way.address);
    #[expect(clippy::cast_precision_loss, reason = "2^53 bytes do not pass within a window")]
    let count = (after.1 - before.1) as f64;
    let seconds = (after.0 - before.0).as_secs_f64();
    let (rate, weight) = match load {
        Load::Streams(_) => (count * 8.0 / 1e9 / seconds, count / 1e9),
        Load::Requests => (count / seconds, count / 1e6),
    };
    Ok(Passed { rate, processes: (after.2 - before.2) / weight, machine: (after.3 - before.3) / weight })
}

impl Running {
    fn new() -> Self {
        Self { stop: Arc::default(), count: Arc::default(), threads: Vec::new() }
    }

    /// Starts a thread that is told when to end and what to count.
    fn spawn(
        &mut self,
        name: &str,
        body: impl FnOnce(&AtomicBool, &AtomicU64) -> io::Result<()> + Send + 'static,
    ) -> Result<()> {
        let (stop, count) = (Arc::clone(&self.stop), Arc::clone(&self.count));
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || body(&stop, &count));
        self.threads.push(thread.context("cannot start a thread")?);
        Ok(())
    }

    /// Ends it and tells whether it broke before.
    fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            let outcome = thread.join().map_err(|_| anyhow!("the {name} panicked"))?;
            outcome.with_context(|| format!("the {name} broke"))?;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A connection on the way, both its ends, which wait for nothing longer than a glance.
fn connect(way: &Way) -> Result<(TcpStream, TcpStream)> {
    let listener = way.to.enter(|| TcpListener::bind(SocketAddr::new(way.address, 0)))?;
    let listener = listener.with_context(|| format!("cannot listen on {}", way.address))?;
    let to = listener.local_addr()?;
    let near = way.from.enter(|| TcpStream::connect_timeout(&to, PATIENCE))?;
    let near = near.with_context(|| format!("cannot connect from {} to {to}", way.from.name()))?;
    let (far, _) = listener.accept().context("cannot accept")?;
    for end in [&near, &far] {
        end.set_read_timeout(Some(GLANCE))?;
        end.set_write_timeout(Some(GLANCE))?;
    }
    Ok((near, far))
}

/// Whether a socket's error says only that a glance is due.
fn is_glance(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// How a connection looks whose other end was told first that all is over.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

/// The outcome of one step: bytes, or nothing where the generator shall look whether it goes on.
fn step(outcome: io::Result<usize>, stop: &AtomicBool) -> io::Result<usize> {
    match outcome {
        Ok(0) if stop.load(Ordering::Relaxed) => Ok(0),
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(bytes) => Ok(bytes),
        Err(error) if is_glance(&error) => Ok(0),
        Err(error) if is_end(&error) && stop.load(Ordering::Relaxed) => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subm_lab::Ground;

    #[test]
    fn loads_pass_over_loopback_and_are_counted() {
        Ground::of_thread().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let host = runtime.block_on(Host::create("alone")).unwrap();
        let way = Way { from: host.clone(), to: host, address: IpAddr::from([127, 0, 0, 1]) };
        let window = Window { warm_up: Duration::from_millis(10), measured: Duration::from_millis(200) };
        for load in [Load::Streams(1), Load::Streams(4), Load::Requests] {
            let passed = measure(&way, load, &[std::process::id()], window).unwrap();
            assert!(passed.rate > 0.0, "{load:?}: {passed:?}");
        }
    }

    #[test]
    fn way_that_leads_nowhere_is_an_error() {
        Ground::of_thread().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let host = runtime.block_on(Host::create("alone")).unwrap();
        let way = Way { from: host.clone(), to: host, address: IpAddr::from([192, 0, 2, 1]) };
        let window = Window { warm_up: Duration::ZERO, measured: Duration::ZERO };
        assert!(measure(&way, Load::Requests, &[], window).is_err());
    }
}
