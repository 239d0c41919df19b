//! Servers that send back what they get and tell whom they see.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::ops::Range;
use std::thread;

use nix::libc;
use ring::digest::{Context, SHA256};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use crate::{Host, LabError};

/// The port of echo servers, TCP and UDP.
pub const ECHO_PORT: u16 = 8080;

/// What a TCP client says first to be told its address in one line; everything else is sent back.
pub(crate) const WHO_AM_I: &[u8] = b"WHO\n";

/// What a TCP client says first to be told, at the end, how many bytes followed and their SHA-256.
pub(crate) const SUM_UP: &[u8] = b"SUM\n";

/// Echo servers in any number of hosts, served by one thread.
///
/// UDP: the answer is the client's address in one line, then what it sent. TCP: `WHO` in one line is answered with
/// the client's address in one line, `GET` in HTTP with the same as text, and the rest is sent back. After `SUM`,
/// which is answered like `WHO`, nothing is sent back but how many bytes came and their digest.
#[derive(Debug, Clone)]
pub struct EchoServer {
    tenants: mpsc::UnboundedSender<Tenant>,
}

struct Tenant {
    tcp: StdTcpListener,
    udp: StdUdpSocket,
}

impl EchoServer {
    /// Starts the thread.
    pub fn start() -> Result<Self, LabError> {
        let (tenants, arrivals) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LabError::io("echo", "start a runtime"))?;
        thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || runtime.block_on(serve(arrivals)))
            .map_err(LabError::io("echo", "start a thread"))?;
        Ok(Self { tenants })
    }

    /// Answers on [`ECHO_PORT`] in this host from now on, in every family that the kernel has.
    pub fn serve(&self, host: &Host) -> Result<(), LabError> {
        let any = [(Ipv4Addr::UNSPECIFIED, ECHO_PORT).into(), (Ipv6Addr::UNSPECIFIED, ECHO_PORT).into()];
        let what = format!("listen on port {ECHO_PORT}");
        for any in any {
            let tenant = match host.enter(|| Tenant::bind(any))? {
                // A kernel without IPv6 has nobody who could ask over it.
                Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => continue,
                bound => bound.map_err(LabError::io(host.name(), what.clone()))?,
            };
            self.tenants.send(tenant).map_err(|_| {
                LabError::io(host.name(), what.clone())(io::Error::other("the echo thread has ended"))
            })?;
        }
        Ok(())
    }
}

impl Tenant {
    fn bind(any: SocketAddr) -> io::Result<Self> {
        let socket = |kind| -> io::Result<Socket> {
            let socket = Socket::new(Domain::for_address(any), kind, None)?;
            if any.is_ipv6() {
                // Clients of IPv4 are told their address as such, not as one of IPv6.
                socket.set_only_v6(true)?;
            }
            socket.set_reuse_address(kind == Type::STREAM)?;
            socket.bind(&any.into())?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let tcp = socket(Type::STREAM)?;
        tcp.listen(128)?;
        Ok(Self { tcp: tcp.into(), udp: socket(Type::DGRAM)?.into() })
    }
}

async fn serve(mut arrivals: mpsc::UnboundedReceiver<Tenant>) {
    while let Some(tenant) = arrivals.recv().await {
        if let Err(error) = admit(tenant) {
            tracing::warn!(%error, "an echo server cannot be served");
        }
    }
}

fn admit(tenant: Tenant) -> io::Result<()> {
    tokio::spawn(accept(TcpListener::from_std(tenant.tcp)?));
    tokio::spawn(answer(UdpSocket::from_std(tenant.udp)?));
    Ok(())
}

async fn answer(socket: UdpSocket) {
    let mut buffer = vec![0; 65_536];
    loop {
        // A client that is gone shows as an error of the next call: there are other clients.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let mut reply = format!("{client}\n").into_bytes();
        reply.extend_from_slice(&buffer[..length]);
        if let Err(error) = socket.send_to(&reply, client).await {
            tracing::debug!(%client, %error, "no answer sent");
        }
    }
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => drop(tokio::spawn(async move {
                if let Err(error) = converse(stream, client).await {
                    tracing::debug!(%client, %error, "a connection broke");
                }
            })),
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, client: SocketAddr) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    let mut length = stream.read(&mut buffer).await?;
    if buffer[..length].starts_with(b"GET ") {
        let body = format!("{client}\n");
        let head =
            format!("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await?;
        return stream.shutdown().await;
    }
    if buffer[..length].starts_with(SUM_UP) {
        stream.write_all(format!("{client}\n").as_bytes()).await?;
        return sum_up(stream, (buffer, SUM_UP.len()..length)).await;
    }
    let mut start = 0;
    if buffer[..length].starts_with(WHO_AM_I) {
        stream.write_all(format!("{client}\n").as_bytes()).await?;
        start = WHO_AM_I.len();
    }
    while length > 0 {
        stream.write_all(&buffer[start..length]).await?;
        start = 0;
        length = stream.read(&mut buffer).await?;
    }
    stream.shutdown().await
}

/// Reads to the end and tells what came; `first` is what was read already.
async fn sum_up(mut stream: TcpStream, first: (Vec<u8>, Range<usize>)) -> io::Result<()> {
    let (mut buffer, mut part) = first;
    let (mut digest, mut bytes) = (Context::new(&SHA256), 0);
    while part.end > 0 {
        bytes += part.len();
        digest.update(&buffer[part]);
        part = 0..stream.read(&mut buffer).await?;
    }
    stream.write_all(format!("{bytes} {}\n", in_hexadecimal(digest)).as_bytes()).await?;
    stream.shutdown().await
}

/// The digest as people write it.
pub(crate) fn in_hexadecimal(digest: Context) -> String {
    digest.finish().as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
