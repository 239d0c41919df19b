//! Many bytes one way over one TCP connection, verified by their digest.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ring::digest::{Context, SHA256};

use super::{Echoed, payload};
use crate::echo::{SUM_UP, in_hexadecimal};
use crate::{Host, LabError};

const CHUNK: usize = 64 * 1024;

/// Opens a connection, sends this many bytes that never repeat, and closes; the server must have got as many, with
/// the same digest. `timeout` is for each step.
pub fn transfer(host: &Host, to: SocketAddr, bytes: u64, timeout: Duration) -> Result<Echoed, LabError> {
    host.enter(|| send(to, bytes, timeout))?
        .map_err(LabError::io(host.name(), format!("send {bytes} bytes by tcp to {to}")))
}

fn send(to: SocketAddr, bytes: u64, timeout: Duration) -> io::Result<Echoed> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let own = stream.local_addr()?;
    stream.write_all(SUM_UP)?;
    let mut answers = BufReader::new(stream.try_clone()?).lines();
    let mut line = || answers.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    let seen_as = line()?;
    let seen_as = seen_as.parse().map_err(|_| io::Error::other(format!("no address in {seen_as:?}")))?;
    let mut digest = Context::new(&SHA256);
    let (mut chunk, mut left, mut number) = (payload(CHUNK), bytes, 0_u64);
    while left > 0 {
        chunk[..8].copy_from_slice(&number.to_be_bytes());
        let part = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        digest.update(&chunk[..part]);
        stream.write_all(&chunk[..part])?;
        left -= part as u64;
        number += 1;
    }
    stream.shutdown(Shutdown::Write)?;
    let (expected, arrived) = (format!("{bytes} {}", in_hexadecimal(digest)), line()?);
    if arrived != expected {
        return Err(io::Error::other(format!("sent {expected}, arrived {arrived}")));
    }
    Ok(Echoed { seen_as, own, took: start.elapsed() })
}
