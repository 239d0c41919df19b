//! TCP connections that send and get everything back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Echoed, payload};
use crate::echo::WHO_AM_I;
use crate::{Host, LabError};

const CHUNK: usize = 64 * 1024;

/// Opens a connection, sends this many bytes while it reads them back, and closes. `timeout` is for each step.
pub fn tcp(host: &Host, to: SocketAddr, bytes: usize, timeout: Duration) -> Result<Echoed, LabError> {
    host.enter(|| exchange(to, bytes, timeout))?
        .map_err(LabError::io(host.name(), format!("tcp to {to} with {bytes} bytes")))
}

fn exchange(to: SocketAddr, bytes: usize, timeout: Duration) -> io::Result<Echoed> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let own = stream.local_addr()?;
    stream.write_all(WHO_AM_I)?;
    let mut reader = BufReader::with_capacity(CHUNK, stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let seen_as = line.trim().parse().map_err(|_| io::Error::other(format!("no address in {line:?}")))?;
    let chunk = payload(CHUNK);
    thread::scope(|scope| {
        let writer = scope.spawn(|| send(&mut stream, &chunk, bytes));
        let read = read_back(&mut reader, &chunk, bytes);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
        read.and(written)
    })?;
    Ok(Echoed { seen_as, own, took: start.elapsed() })
}

fn send(stream: &mut TcpStream, chunk: &[u8], bytes: usize) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let part = left.min(chunk.len());
        stream.write_all(&chunk[..part])?;
        left -= part;
    }
    stream.shutdown(Shutdown::Write)
}

fn read_back(reader: &mut impl Read, chunk: &[u8], bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; chunk.len()];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(chunk.len());
        reader.read_exact(&mut buffer[..part])?;
        if buffer[..part] != chunk[..part] {
            return Err(super::changed());
        }
        left -= part;
    }
    Ok(())
}
