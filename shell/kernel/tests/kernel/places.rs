//! Namespaces beside the test's own, to send packets between.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

use crate::ground::foreign;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own; both go when this is dropped.
pub(crate) struct Place {
    jobs: Sender<Job>,
    thread: i32,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (jobs, work) = channel::<Job>();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(gettid().as_raw()).unwrap();
            for job in work {
                job();
            }
        });
        Self { jobs, thread: told.recv().unwrap() }
    }

    /// Runs something there and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        self.jobs.send(Box::new(move || tell.send(job()).unwrap())).unwrap();
        told.recv().unwrap()
    }

    /// Lays a wire from the calling thread's namespace.
    pub(crate) fn lay(&self, here: &str, there: &str) {
        foreign(&format!("ip link add {here} type veth peer name {there} netns {}", self.thread));
    }

    pub(crate) fn foreign(&self, command: &'static str) {
        self.run(move || foreign(command));
    }
}

/// A client, the test's own namespace as a router, and a server.
pub(crate) struct Wire {
    pub(crate) client: Place,
    pub(crate) server: Place,
}

pub(crate) const CLIENT: &str = "10.1.0.2";
pub(crate) const SERVER: &str = "10.2.0.2";
pub(crate) const ROUTER: &str = "10.2.0.1";
pub(crate) const CLIENT6: &str = "fd01::2";
pub(crate) const SERVER6: &str = "fd02::2";
pub(crate) const ROUTER6: &str = "fd02::1";

impl Wire {
    /// To be called on the thread that is the router.
    pub(crate) fn new() -> Self {
        let (client, server) = (Place::new(), Place::new());
        for (link, place, subnet) in [("left", &client, 1), ("right", &server, 2)] {
            let thread = place.thread;
            foreign(&format!(
                "ip link add {link} type veth peer name eth0 netns {thread}; \
                 echo 0 > /proc/sys/net/ipv6/conf/{link}/accept_dad; ip link set {link} up; \
                 ip address add 10.{subnet}.0.1/24 dev {link}; ip address add fd0{subnet}::1/64 dev {link} nodad"
            ));
        }
        foreign(
            "ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward; \
                 echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        );
        client.foreign(
            "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; ip link set eth0 up; ip address add 10.1.0.2/24 dev eth0; ip route add default via 10.1.0.1; \
             ip address add fd01::2/64 dev eth0 nodad; ip route add default via fd01::1",
        );
        server.foreign(
            "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; ip link set eth0 up; ip address add 10.2.0.2/24 dev eth0; ip route add default via 10.2.0.1; \
             ip address add fd02::2/64 dev eth0 nodad; ip route add default via fd02::1",
        );
        Self { client, server }
    }

    /// The address that the server sees when the client sends a datagram from a port; `None` if it sees none.
    pub(crate) fn seen_source(&self, port: u16) -> Option<String> {
        self.seen_by(SERVER, "0.0.0.0", port)
    }

    /// The same over IPv6.
    pub(crate) fn seen_source6(&self, port: u16) -> Option<String> {
        self.seen_by(SERVER6, "::", port)
    }

    fn seen_by(&self, server: &'static str, any: &'static str, port: u16) -> Option<String> {
        let socket = self.server.run(move || {
            let socket = UdpSocket::bind((any, 7000)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            socket
        });
        self.client.run(move || {
            let socket = UdpSocket::bind((any, port)).unwrap();
            // A packet that is dropped on its way is not an error here.
            let _sent = socket.send_to(b"who am I", (server, 7000));
        });
        let from: Option<SocketAddr> = socket.recv_from(&mut [0; 16]).ok().map(|(_, from)| from);
        from.map(|from| from.ip().to_string())
    }
}
