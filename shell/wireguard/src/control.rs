//! The thread that owns the protocol: handshakes, timers, new snapshots.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom as _, SystemRandom};
use subm_noise::message::Kind;
use subm_noise::{Now, Table};

use crate::sealer::Sealer;
use crate::shared::{Letter, Mail, Shared, lock};
use crate::socket::{Sockets, Train};
use crate::split::Split;
use crate::virtio::Offload;

/// How often the MTU of the device is looked at while there is work.
const MTU_INTERVAL: Duration = Duration::from_secs(1);

/// The protocol and the sockets that it speaks by.
pub(crate) struct Control {
    pub(crate) protocol: subm_noise::Device,
    pub(crate) sockets: Arc<Sockets>,
    random: SystemRandom,
    mtu_read: Option<subm_noise::Moment>,
}

impl Control {
    pub(crate) fn new(protocol: subm_noise::Device, sockets: Arc<Sockets>) -> Self {
        Self { protocol, sockets, random: SystemRandom::new(), mtu_read: None }
    }

    /// Does something to the protocol, then what follows from it.
    pub(crate) fn with<T>(
        &mut self,
        shared: &Shared,
        work: impl FnOnce(&mut subm_noise::Device, Now, &mut subm_noise::Random<'_>) -> T,
    ) -> T {
        let now = Now { moment: shared.now(), wall: SystemTime::now() };
        let random = &self.random;
        let mut fill = |bytes: &mut [u8]| {
            // The kernel's source cannot fail once it has been seeded, which it is long before links are up.
            if random.fill(bytes).is_err() {
                tracing::error!("the kernel gave no random bytes");
                std::process::abort();
            }
        };
        let out = work(&mut self.protocol, now, &mut fill);
        // First the sessions, then the messages on which the peers begin to use them.
        if let Some(table) = self.protocol.poll_table() {
            shared.tables.publish(table);
        }
        while let Some(message) = self.protocol.poll_transmit() {
            let length = message.payload.len();
            let train = Train { to: message.to, at: 0, length, segment: length };
            self.sockets.send(&message.payload, &[train]);
        }
        out
    }

    fn read_mtu(&mut self, shared: &Shared) {
        let now = shared.now();
        if self.mtu_read.is_some_and(|last| now.since(last) < MTU_INTERVAL) {
            return;
        }
        self.mtu_read = Some(now);
        if let Ok(mtu) = shared.device.mtu() {
            shared.mtu.store(mtu, Relaxed);
        }
    }

    fn take(&mut self, shared: &Shared, letters: &[Letter]) {
        self.with(shared, |protocol, now, random| {
            for Letter { datagram, from } in letters {
                let kind = Kind::of(datagram);
                let done = protocol.handle_handshake(datagram, *from, now, random);
                done.unwrap_or_else(
                    |cause| tracing::debug!(%from, ?kind, %cause, "a handshake message was refused"),
                );
            }
            protocol.handle_timeout(now, random);
        });
        self.read_mtu(shared);
    }
}

/// The life of the thread.
pub(crate) fn run(shared: &Shared, control: &Mutex<Control>) {
    let mut longest = Some(Duration::ZERO);
    while let Mail::Work(letters) = shared.mailbox.wait(longest) {
        let mut control = lock(control);
        control.take(shared, &letters);
        let sockets = Arc::clone(&control.sockets);
        let next = control.protocol.poll_timeout();
        drop(control);
        if let Some(table) = shared.tables.newest() {
            send_staged(shared, &table, &sockets);
        }
        longest = next.map(|next| next.since(shared.now()));
    }
}

/// Sends what waited for a session.
fn send_staged(shared: &Shared, table: &Table, sockets: &Sockets) {
    let staged = shared.mailbox.unstage(table);
    if staged.is_empty() {
        return;
    }
    let mut sealer = Sealer::new();
    for path in table.paths() {
        let Some(packets) = staged.get(path.key()) else { continue };
        for packet in packets {
            let mut packet = packet.clone();
            let Ok(split) = Split::of(&Offload::default(), &mut packet) else { continue };
            if let Err(cause) = sealer.add(&split, path, shared.mtu(), shared.now()) {
                tracing::debug!(peer = %path.key(), ?cause, "a packet that waited was not sent");
            }
        }
        sealer.send(sockets);
        sealer.clear();
    }
}
