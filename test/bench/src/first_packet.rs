//! From an Endpoint on the hub to the first packet into that cluster.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use subm_api::Endpoint;
use subm_e2e::{Playground, until};
use subm_kube::{Access, Key, Writer};
use subm_lab::{ECHO_PORT, Host};

use crate::record::{Bound, Record};
use crate::samples::Samples;
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench =
    Bench { name: "endpoint-to-first-packet", about: "from an Endpoint on the hub to the first packet", run };

const SAMPLES: usize = 200;
const ENOUGH: u32 = 190;
const LIMIT: f64 = 200.0;
const NAMESPACE: &str = "submariner-k8s-broker";
const ENDPOINT: &str = "east-submariner-cable-east-172-31-1-10";
/// What follows another change within an instant is planned together with it: this is about one change.
const QUIET: Duration = Duration::from_millis(150);
const SILENT: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(20);

/// A worker's pod of west calls a worker's pod of east, by way of both gateways. East's gateway is held still, so
/// that its Endpoint on the hub can come and go while its end of the cable stays.
fn run(programs: &Programs) -> Result<Vec<Record>> {
    let playground = programs.playground(&[])?;
    hold_still(&playground, "east/gateway/gateway")?;
    let calls =
        Calls::start(&playground.host("west-worker-pod-1")?, (Ipv4Addr::new(10, 1, 1, 2), ECHO_PORT).into())?;
    let kubeconfig = playground.kubeconfig("hub");
    let times = playground.host("hub")?.enter(|| sample(&kubeconfig, &calls))??;
    playground.down()?;
    let samples = Samples::of_milliseconds(times).context("no samples")?;
    let within = u32::try_from(samples.at_most(LIMIT))?;
    let target = format!("≥ {ENOUGH} of {SAMPLES} within {LIMIT} ms");
    Ok(vec![
        Record::new("endpoint-to-first-packet/within-200-ms", f64::from(within), "count")
            .asks(Bound::AtLeast(f64::from(ENOUGH)), target),
        Record::new("endpoint-to-first-packet/median", samples.median(), "ms"),
        Record::new("endpoint-to-first-packet/p95", samples.percentile(95), "ms"),
        Record::new("endpoint-to-first-packet/max", samples.max(), "ms"),
    ])
}

fn hold_still(playground: &Playground, path: &str) -> Result<()> {
    let daemons = playground.status()?.daemons;
    let daemon =
        daemons.iter().find(|daemon| daemon.path == path).with_context(|| format!("there is no {path}"))?;
    let pid = daemon.pid.with_context(|| format!("{path} does not run"))?;
    playground.ask("hub", &["sh", "-c", &format!("kill -STOP {pid}")]).map(drop)
}

fn sample(kubeconfig: &Path, calls: &Calls) -> Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let hub = runtime.block_on(Access::kubeconfig(kubeconfig, NAMESPACE))?;
    let hub = Writer::new(&runtime.block_on(async { hub.connect() })?, "bench");
    let key = Key::new(NAMESPACE, ENDPOINT);
    let found = runtime.block_on(hub.get::<Endpoint>(&key))?;
    let endpoint = fresh(found.with_context(|| format!("{ENDPOINT} is not on the hub"))?);
    until("packets pass", || calls.first().map(drop).context("no answer"))?;
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let seen = runtime.block_on(hub.get::<Endpoint>(&key))?.context("the Endpoint went by itself")?;
        runtime.block_on(hub.delete(&seen))?;
        calls.await_silence()?;
        thread::sleep(QUIET);
        ensure!(calls.first().is_none(), "packets pass without an Endpoint");
        // From the moment at which the request is sent: the hub's own work is part of the way.
        let start = Instant::now();
        runtime.block_on(hub.put(&endpoint))?;
        times.push(calls.await_answer()?.saturating_duration_since(start));
    }
    Ok(times)
}

/// The object as its gateway writes it, without what the server adds.
fn fresh(mut endpoint: Endpoint) -> Endpoint {
    let ObjectMeta { name, namespace, labels, annotations, .. } = endpoint.metadata;
    endpoint.metadata = ObjectMeta { name, namespace, labels, annotations, ..ObjectMeta::default() };
    endpoint
}

/// Datagrams of one flow to an echo server, two in a millisecond, for as long as the process lives.
struct Calls(Arc<Mutex<Heard>>);

/// Answers that saw the caller's own address.
#[derive(Default)]
struct Heard {
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Calls {
    fn start(host: &Host, to: SocketAddr) -> Result<Self> {
        let calls = Self(Arc::default());
        let heard = Arc::clone(&calls.0);
        host.spawn("calls", move || call(to, &heard))?;
        Ok(calls)
    }

    fn first(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first
    }

    fn await_silence(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.last.is_none_or(|last| last.elapsed() > SILENT) {
                *heard = Heard::default();
                return Ok(());
            }
            drop(heard);
            ensure!(
                start.elapsed() < PATIENCE,
                "packets still pass {} s after the Endpoint is gone",
                PATIENCE.as_secs()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn await_answer(&self) -> Result<Instant> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(first) = self.first() {
                return Ok(first);
            }
            thread::sleep(Duration::from_millis(1));
        }
        bail!("no packet passed within {} s", PATIENCE.as_secs())
    }
}

fn call(to: SocketAddr, heard: &Mutex<Heard>) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    let own = socket.local_addr()?.to_string();
    let mut buffer = [0; 256];
    loop {
        // While there is no way, this fails or is lost.
        let _unreachable = socket.send(b"?");
        while let Ok(length) = socket.recv(&mut buffer) {
            // The server says whom it saw, in one line.
            if buffer[..length].starts_with(own.as_bytes()) {
                let now = Instant::now();
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.first.get_or_insert(now);
                heard.last = Some(now);
            }
        }
        thread::sleep(Duration::from_micros(500));
    }
}
