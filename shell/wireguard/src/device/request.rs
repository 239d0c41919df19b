//! Requests about links by name (`ioctl` with `struct ifreq`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{Domain, Socket, Type};
use subm_types::{IfName, MacAddress};

/// A request about one link.
pub(super) struct Request(libc::ifreq);

impl Request {
    pub(super) fn about(link: &IfName) -> Self {
        #[expect(
            unsafe_code,
            reason = "a C struct of integers, arrays of them and unions of such: zero is valid"
        )]
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // INVARIANT: an IfName is shorter than IFNAMSIZ, so the last byte stays zero.
        for (to, from) in request.ifr_name.iter_mut().zip(link.as_str().bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        Self(request)
    }

    pub(super) fn with_flags(mut self, flags: i16) -> Self {
        self.0.ifr_ifru.ifru_flags = flags;
        self
    }

    fn number(&self) -> i32 {
        #[expect(
            unsafe_code,
            reason = "the kernel wrote this part of the union, and any bits are an integer"
        )]
        unsafe {
            self.0.ifr_ifru.ifru_mtu
        }
    }

    fn address(&self) -> [u8; 6] {
        #[expect(unsafe_code, reason = "the kernel wrote this part of the union, and any bits are bytes")]
        let data = unsafe { self.0.ifr_ifru.ifru_hwaddr.sa_data };
        let mut bytes = [0; 6];
        for (to, from) in bytes.iter_mut().zip(data) {
            *to = from.to_ne_bytes()[0];
        }
        bytes
    }

    /// Sends it to a file or socket that knows such requests.
    pub(super) fn send(&mut self, to: BorrowedFd<'_>, code: libc::c_ulong) -> io::Result<()> {
        #[expect(unsafe_code, reason = "the request is a live, initialised ifreq, which these codes take")]
        let done = unsafe { libc::ioctl(to.as_raw_fd(), code as _, &raw mut self.0) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A request whose argument is a number.
pub(super) fn set_number(to: BorrowedFd<'_>, code: libc::c_ulong, number: libc::c_ulong) -> io::Result<()> {
    #[expect(unsafe_code, reason = "these codes take the number itself, no memory")]
    let done = unsafe { libc::ioctl(to.as_raw_fd(), code as _, number) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A request whose argument points to a number.
pub(super) fn set_number_at(to: BorrowedFd<'_>, code: libc::c_ulong, number: libc::c_int) -> io::Result<()> {
    #[expect(unsafe_code, reason = "these codes read one int, which is alive")]
    let done = unsafe { libc::ioctl(to.as_raw_fd(), code as _, &raw const number) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn ask(link: &IfName, code: libc::c_ulong) -> io::Result<Request> {
    use std::os::fd::AsFd as _;
    let socket = Socket::new(Domain::UNIX, Type::DGRAM.cloexec(), None)?;
    let mut request = Request::about(link);
    request.send(socket.as_fd(), code)?;
    Ok(request)
}

/// The MTU of a link in the namespace of this thread.
pub(super) fn mtu(link: &IfName) -> io::Result<u32> {
    let request = ask(link, libc::SIOCGIFMTU as libc::c_ulong)?;
    u32::try_from(request.number()).map_err(io::Error::other)
}

/// The number of a link in the namespace of this thread.
pub(super) fn index(link: &IfName) -> io::Result<i32> {
    ask(link, libc::SIOCGIFINDEX as libc::c_ulong).map(|request| request.number())
}

/// The hardware address of a link in the namespace of this thread.
pub(super) fn mac(link: &IfName) -> io::Result<MacAddress> {
    ask(link, libc::SIOCGIFHWADDR as libc::c_ulong).map(|request| MacAddress(request.address()))
}
