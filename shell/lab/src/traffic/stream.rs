//! A TCP connection that is never idle.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::payload;
use crate::{Host, LabError};

const CHUNK: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Bytes that came back unchanged.
    pub bytes: u64,
    /// The longest time in which nothing came back.
    pub longest_stall: Duration,
    /// Why it broke, if it did.
    pub broken: Option<String>,
}

/// A connection to an echo server that sends and reads back until it is stopped.
#[derive(Debug)]
pub struct StreamRun {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: JoinHandle<Result<StreamReport, LabError>>,
}

impl StreamRun {
    /// Opens the connection and starts.
    pub fn start(host: &Host, to: SocketAddr) -> Result<Self, LabError> {
        let open = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            wait_at_most(&stream, PATIENCE)?;
            Ok(stream)
        };
        let stream = host.enter(open)?.map_err(LabError::io(host.name(), format!("tcp to {to}")))?;
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (seen, count) = (Arc::clone(&stop), Arc::clone(&bytes));
        let thread = host.spawn("stream", move || run(stream, &seen, &count))?;
        Ok(Self { stop, bytes, thread })
    }

    /// How many bytes came back so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Ends the connection and tells.
    pub fn stop(self) -> Result<StreamReport, LabError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| {
            Ok(StreamReport { broken: Some("the thread panicked".to_owned()), ..StreamReport::default() })
        })
    }
}

/// A connection through which nothing comes any more is broken, long before TCP itself gives up.
fn wait_at_most(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))
}

fn run(mut stream: TcpStream, stop: &AtomicBool, bytes: &AtomicU64) -> StreamReport {
    let mut report = StreamReport::default();
    let chunk = payload(CHUNK);
    let mut buffer = vec![0; CHUNK];
    let mut turn = || -> io::Result<()> {
        stream.write_all(&chunk)?;
        stream.read_exact(&mut buffer)?;
        if buffer == chunk { Ok(()) } else { Err(super::changed()) }
    };
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        if let Err(error) = turn() {
            report.broken = Some(if error.kind() == io::ErrorKind::WouldBlock {
                format!("nothing came back for {:?}", start.elapsed())
            } else {
                error.to_string()
            });
            break;
        }
        report.longest_stall = report.longest_stall.max(start.elapsed());
        report.bytes = bytes.fetch_add(CHUNK as u64, Ordering::Relaxed) + CHUNK as u64;
        thread::sleep(PAUSE);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_nobody_answers_any_more_is_broken() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(silent.local_addr().unwrap()).unwrap();
        wait_at_most(&stream, Duration::from_millis(50)).unwrap();
        let report = run(stream, &AtomicBool::new(false), &AtomicU64::new(0));
        assert!(report.broken.is_some_and(|why| why.starts_with("nothing came back for ")));
    }
}
