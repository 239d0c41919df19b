//! Small questions and answers over one TCP connection.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;

use super::{Running, Way, connect, step};

const SIZE: usize = 64;

pub(super) fn start(way: &Way) -> Result<Running> {
    let (near, far) = connect(way)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut running = Running::new();
    running.spawn("answerer", move |stop, _| answer(far, stop))?;
    running.spawn("asker", move |stop, count| ask(near, stop, count))?;
    Ok(running)
}

fn ask(mut stream: TcpStream, stop: &AtomicBool, count: &AtomicU64) -> io::Result<()> {
    let question = [0x5a; SIZE];
    let mut answer = [0; SIZE];
    loop {
        if !say(&mut stream, &question, stop)? || !fill(&mut stream, &mut answer, stop)? {
            return Ok(());
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn answer(mut stream: TcpStream, stop: &AtomicBool) -> io::Result<()> {
    let mut question = [0; SIZE];
    while fill(&mut stream, &mut question, stop)? && say(&mut stream, &question, stop)? {}
    Ok(())
}

/// Writes a whole message; false where it shall end.
fn say(stream: &mut TcpStream, message: &[u8; SIZE], stop: &AtomicBool) -> io::Result<bool> {
    match stream.write_all(message) {
        Err(_) if stop.load(Ordering::Relaxed) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Reads a whole message; false where it shall end.
fn fill(stream: &mut TcpStream, message: &mut [u8; SIZE], stop: &AtomicBool) -> io::Result<bool> {
    let mut length = 0;
    while length < SIZE {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        length += step(stream.read(&mut message[length..]), stop)?;
    }
    Ok(true)
}
