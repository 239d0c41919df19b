//! What the protocol costs beside its cipher. A measurement, so it runs only when asked for, and optimised:
//! `cargo test --release -p subm-noise --test rate -- --ignored --nocapture`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use subm_noise::message::{DATA_HEADER, Kind, sealed};
use subm_noise::{Batch, Device, Inner, Moment, Now, PeerConfig, PrivateKey, PublicKey, Table, public_key};

const MTU: usize = 1420;
const BATCH: u32 = 64;
const ROUNDS: usize = 4_000;
const FLOOD: u32 = 40_000;
const NOW: Moment = Moment(Duration::from_secs(1));

fn endpoint() -> SocketAddr {
    "192.0.2.1:4500".parse().unwrap()
}

/// Two tables with a session between them, each among a thousand other peers.
fn tables() -> [Arc<Table>; 2] {
    let keys = [1, 2].map(|byte| PrivateKey::new([byte; 32]));
    let mut devices = [0, 1].map(|at: usize| Device::new(&keys[at]));
    let mut draw = 1_u8;
    let mut random = |bytes: &mut [u8]| {
        for byte in bytes {
            draw = draw.wrapping_mul(5).wrapping_add(7);
            *byte = draw;
        }
    };
    let now = Now { moment: NOW, wall: UNIX_EPOCH };
    for at in [0, 1] {
        let others = (0..1_000_u16).map(|number| {
            let net = format!("172.{}.{}.0/24", 16 + number / 256, number % 256);
            let key = public_key(&PrivateKey::new(
                [(number | 0x8000).to_be_bytes(); 16].concat().try_into().unwrap(),
            ));
            (key, config(&net, None))
        });
        let peer: PublicKey = public_key(&keys[1 - at]);
        let peer = (peer, config(&format!("10.{}.0.0/16", 1 - at), (at == 0).then(endpoint)));
        assert_eq!(devices[at].set_peers(&others.chain([peer]).collect(), now, &mut random), []);
    }
    let [one, other] = &mut devices;
    let initiation = one.poll_transmit().unwrap().payload;
    other.handle_handshake(&initiation, endpoint(), now, &mut random).unwrap();
    let response = other.poll_transmit().unwrap().payload;
    one.handle_handshake(&response, endpoint(), now, &mut random).unwrap();
    devices.map(|mut device| device.poll_table().unwrap())
}

fn config(net: &str, endpoint: Option<SocketAddr>) -> PeerConfig {
    let allowed = [net.parse().unwrap()].into_iter().collect();
    PeerConfig { preshared: None, endpoint, allowed, keepalive: None }
}

fn packet() -> Vec<u8> {
    let mut packet = vec![0x5a; MTU];
    packet[..4].copy_from_slice(&[0x45, 0, 5, 0x8c]);
    packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 1, 0, 1]);
    packet
}

/// All that a sender does for the segments of one large packet, which have one destination, but cut it.
fn seal_all(table: &Table, datagrams: &mut [Vec<u8>]) {
    let mut batch = Batch::default();
    let inner = Inner::parse(&datagrams[0][DATA_HEADER..]).unwrap();
    let session = table.path_to(inner.destination).unwrap().session().unwrap();
    for (counter, datagram) in session.reserve(BATCH, NOW).unwrap().zip(&mut *datagrams) {
        session.seal(counter, datagram);
        batch.add(datagram.len());
    }
    session.note_sent(batch, NOW);
}

/// All that a receiver does: each packet may claim another source.
fn open_all(table: &Table, datagrams: &mut [Vec<u8>]) {
    let mut batch = Batch::default();
    let mut last = None;
    for datagram in datagrams {
        let Some(Kind::Data { receiver, counter }) = Kind::of(datagram) else { continue };
        let found = table.receiver(receiver).unwrap();
        batch.add(datagram.len());
        let packet = found.session.open(counter, datagram, NOW).unwrap();
        let inner = Inner::parse(packet).unwrap();
        assert!(table.admits(found.path, inner.source));
        last = Some(found);
    }
    last.unwrap().note_received(batch, endpoint(), NOW);
}

/// The cipher alone on as many bytes.
fn cipher_seals(key: &LessSafeKey, datagrams: &mut [Vec<u8>]) {
    for datagram in datagrams {
        let packet = &mut datagram[DATA_HEADER..][..MTU];
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), packet).unwrap();
        std::hint::black_box(tag.as_ref());
    }
}

fn cipher_opens(key: &LessSafeKey, datagrams: &mut [Vec<u8>]) {
    for datagram in datagrams {
        let nonce = Nonce::assume_unique_for_key([7; 12]);
        std::hint::black_box(key.open_in_place(nonce, Aad::empty(), &mut datagram[DATA_HEADER..]).unwrap());
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

#[test]
#[ignore = "a measurement: it needs a core of its own and an optimised build"]
fn the_cipher_takes_nearly_all_of_the_time() {
    let [sender, receiver] = tables();
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[1; 32]).unwrap());
    let mut plain = vec![0; sealed(MTU, MTU)];
    plain[DATA_HEADER..][..MTU].copy_from_slice(&packet());
    let fresh = vec![plain; BATCH as usize];
    let mut cipher_sealed = fresh.clone();
    for datagram in &mut cipher_sealed {
        let (nonce, body) = (Nonce::assume_unique_for_key([7; 12]), &mut datagram[DATA_HEADER..][..MTU]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), body).unwrap();
        datagram[DATA_HEADER + MTU..].copy_from_slice(tag.as_ref());
    }
    // The median of interleaved rounds: what else runs on the machine disturbs all four alike.
    let mut times: [Vec<Duration>; 4] = Default::default();
    let (mut ours, mut raw, mut raw_sealed) = (fresh.clone(), fresh.clone(), cipher_sealed.clone());
    for _ in 0..ROUNDS {
        // Each works on what the cache has just seen.
        raw.clone_from(&fresh);
        times[0].push(time(|| cipher_seals(&key, &mut raw)));
        ours.clone_from(&fresh);
        times[1].push(time(|| seal_all(&sender, &mut ours)));
        raw_sealed.clone_from(&cipher_sealed);
        times[2].push(time(|| cipher_opens(&key, &mut raw_sealed)));
        times[3].push(time(|| open_all(&receiver, &mut ours)));
    }
    let nanos = times.map(|mut one| {
        one.sort_unstable();
        one[ROUNDS / 2].as_secs_f64() * 1e9 / f64::from(BATCH)
    });
    let rate = |nanos: f64| 8.0 * 1420.0 / nanos;
    for (name, raw, ours) in [("seal", nanos[0], nanos[1]), ("open", nanos[2], nanos[3])] {
        let over = 100.0 * (ours / raw - 1.0);
        println!(
            "{name}: {ours:.0} ns a packet, {:.2} Gb/s a core; the cipher alone {raw:.0} ns, {:.2} Gb/s; {over:.1} % over",
            rate(ours),
            rate(raw)
        );
        assert!(over < 5.0, "{name}: {over:.1} % beside the cipher");
    }
}

#[test]
#[ignore = "a measurement: it needs a core of its own and an optimised build"]
fn a_flood_of_handshakes_costs_little_beside_one_that_is_meant() {
    let keys = [1, 2].map(|byte| PrivateKey::new([byte; 32]));
    let mut draw = 0_u64;
    let mut random = |bytes: &mut [u8]| {
        for byte in bytes {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = draw.to_be_bytes()[0];
        }
    };
    let now = |round: u64| Now { moment: Moment(Duration::from_secs(round)), wall: UNIX_EPOCH };
    let peers = [(public_key(&keys[1]), config("10.1.0.0/16", Some(endpoint())))].into();
    let initiations: Vec<Vec<u8>> = (0..200)
        .map(|round| {
            let mut device = Device::new(&keys[0]);
            device.set_peers(
                &peers,
                Now { wall: UNIX_EPOCH + Duration::from_secs(round), ..now(1) },
                &mut random,
            );
            device.poll_transmit().unwrap().payload
        })
        .collect();
    let mut device = Device::new(&keys[1]);
    device.set_peers(&[(public_key(&keys[0]), config("10.0.0.0/16", None))].into(), now(1), &mut random);
    let mut each = |name: &str, messages: &[Vec<u8>], seconds: u32| {
        let count = u32::try_from(messages.len()).unwrap();
        let mut refused = 0;
        let took = time(|| {
            for (number, message) in (0..).zip(messages) {
                let now = now(1_000 + u64::from(number * seconds / count));
                refused += u32::from(device.handle_handshake(message, endpoint(), now, &mut random).is_err());
                std::iter::from_fn(|| device.poll_transmit()).for_each(drop);
            }
        });
        let each = took.as_secs_f64() * 1e6 / f64::from(count);
        println!("{name}: {each:.1} us, {refused} of {count} refused");
        (each, refused)
    };
    let (meant, refused) = each("answered", &initiations, 200);
    assert_eq!(refused, 0);
    let changed = |number: u32| {
        let mut message = initiations[0].clone();
        message[20..24].copy_from_slice(&number.to_le_bytes());
        message
    };
    let changed: Vec<Vec<u8>> = (0..FLOOD).map(changed).collect();
    let (foreign, refused) = each("with a wrong code", &changed, 1);
    assert!(refused >= FLOOD - 1);
    let (unproven, refused) =
        each("under load without a cookie", &vec![initiations[0].clone(); FLOOD as usize], 1);
    assert_eq!(refused, FLOOD);
    assert!(foreign * 50.0 < meant, "{foreign:.2} us against {meant:.2} us");
    assert!(unproven * 20.0 < meant, "{unproven:.2} us against {meant:.2} us");
}
