//! A relay of bytes before a real API server: it stands where clients look for the server, and can cut them off.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Result;
use socket2::SockRef;
use subm_apiserver::Link;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The running relay; it ends, with its connections, when this is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    link: watch::Sender<Link>,
    /// Counts how often all connections were ended.
    cuts: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.link.send_replace(Link::Refused);
    }
}

impl Relay {
    pub(crate) fn start(runtime: &Handle, listener: TcpListener, to: SocketAddr) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let (link, cuts) = (watch::Sender::new(Link::Up), watch::Sender::new(0));
        let way = Way { to, link: link.subscribe(), cuts: cuts.subscribe() };
        let task = runtime.spawn(async move {
            // What cannot be listened on is found out by whoever connects.
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                accept(listener, way).await;
            }
        });
        Ok(Self { link, cuts, task })
    }

    pub(crate) fn set_link(&self, link: Link) {
        self.link.send_replace(link);
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

#[derive(Clone)]
struct Way {
    to: SocketAddr,
    link: watch::Receiver<Link>,
    cuts: watch::Receiver<u64>,
}

async fn accept(listener: tokio::net::TcpListener, way: Way) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(pass(stream, way.clone()))),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Passes on what either end sends until one ends, or is cut off.
async fn pass(near: TcpStream, mut way: Way) {
    way.cuts.mark_unchanged();
    // An end that is lost is noticed by the other.
    let _lost = passed(near, &mut way).await;
}

async fn passed(near: TcpStream, way: &mut Way) -> io::Result<()> {
    let mut link = way.link.clone();
    let state = wait(&mut link, |link| link != Link::Silent).await;
    if state == Link::Refused {
        return reset(&near);
    }
    let far = TcpStream::connect(way.to).await?;
    for end in [&near, &far] {
        end.set_nodelay(true)?;
    }
    let near_socket = SockRef::from(&near).try_clone()?;
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    tokio::select! {
        ended = copy(from_near, to_far, way.link.clone()) => ended,
        ended = copy(from_far, to_near, way.link.clone()) => ended,
        _ = wait(&mut link, |link| link == Link::Refused) => near_socket.set_linger(Some(Duration::ZERO)),
        _ = way.cuts.changed() => Ok(()),
    }
}

/// Without lingering, the peer sees a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}

async fn wait(link: &mut watch::Receiver<Link>, holds: impl Fn(Link) -> bool) -> Link {
    link.wait_for(|link| holds(*link)).await.map_or(Link::Refused, |link| *link)
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut link: watch::Receiver<Link>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        wait(&mut link, |link| link != Link::Silent).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
    }
}
