//! TCP connections that carry as much as they can, one way.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;

use super::{Running, Way, connect, step};

const SENT_AT_ONCE: usize = 128 * 1024;
const READ_AT_ONCE: usize = 256 * 1024;

pub(super) fn start(way: &Way, flows: usize) -> Result<Running> {
    let mut running = Running::new();
    for _ in 0..flows {
        let (near, far) = connect(way)?;
        running.spawn("receiver", move |stop, count| receive(far, stop, count))?;
        running.spawn("sender", move |stop, _| send(near, stop))?;
    }
    Ok(running)
}

fn send(mut stream: TcpStream, stop: &AtomicBool) -> io::Result<()> {
    let chunk = vec![0x5a; SENT_AT_ONCE];
    while !stop.load(Ordering::Relaxed) {
        let _sent = step(stream.write(&chunk), stop)?;
    }
    Ok(())
}

fn receive(mut stream: TcpStream, stop: &AtomicBool, count: &AtomicU64) -> io::Result<()> {
    let mut buffer = vec![0; READ_AT_ONCE];
    while !stop.load(Ordering::Relaxed) {
        let length = step(stream.read(&mut buffer), stop)?;
        count.fetch_add(length as u64, Ordering::Relaxed);
    }
    Ok(())
}
