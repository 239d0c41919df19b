//! A process that stores objects is killed again and again, at moments of chance: what it acknowledged is there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use http::Request;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Credential, Storage, Store};
use tower::ServiceExt as _;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WRITERS: u64 = 4;
/// So many objects of each writer are there at a time.
const LIVING: u64 = 40;
/// Kills in one run of the tests; `make kills` asks for more.
const KILLS: u32 = 10;

fn open(path: &Path) -> ApiServer {
    ApiServer::builder().credentials([Credential::admin("admin")]).open(Storage::open(path).unwrap()).unwrap()
}

async fn send(server: &ApiServer, method: &str, path: &str, body: String) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = server.service_as("admin").oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&text).unwrap_or_default())
}

/// An object that shows whether it is whole.
fn map(name: &str, value: u64) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"first": value.to_string(), "padding": "x".repeat(700), "last": value.to_string()},
    })
    .to_string()
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn value(object: &Value) -> u64 {
    object["data"]["first"].as_str().unwrap().parse().unwrap()
}

/// Not a test but the process that is killed: its writers say what was acknowledged as soon as it was.
#[test]
#[ignore = "a child process of the test below"]
fn child_that_writes() {
    let path = PathBuf::from(std::env::var_os("HUB_FILE").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = open(&path);
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write(server.clone(), writer)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

fn say(line: &str) {
    // A line of its own, whatever the test's harness has printed before it.
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

/// Counts one object up without end, and makes an object at each number and deletes it some numbers later.
async fn write(server: ApiServer, writer: u64) {
    let counter = format!("{MAPS}/counter-{writer}");
    let (code, found) = send(&server, "GET", &counter, String::new()).await;
    let mut number = if code == 200 { value(&found) } else { 0 };
    if code == 404 {
        let name = format!("counter-{writer}");
        assert_eq!(send(&server, "POST", MAPS, map(&name, 0)).await.0, 201);
    }
    loop {
        number += 1;
        let name = format!("counter-{writer}");
        let (code, written) = send(&server, "PUT", &counter, map(&name, number)).await;
        assert_eq!(code, 200, "{written}");
        say(&format!("there {name} {number} {}", version(&written)));
        let name = format!("kept-{writer}-{number}");
        let (code, written) = send(&server, "POST", MAPS, map(&name, number)).await;
        // The one before it may have died after the write and before it could say so.
        assert!(code == 201 || code == 409, "{written}");
        if code == 201 {
            say(&format!("there {name} {number} {}", version(&written)));
        }
        let Some(old) = number.checked_sub(LIVING) else { continue };
        let name = format!("kept-{writer}-{old}");
        say(&format!("going {name}"));
        let (code, answer) = send(&server, "DELETE", &format!("{MAPS}/{name}"), String::new()).await;
        assert!(code == 200 || code == 404, "{answer}");
        say(&format!("gone {name}"));
    }
}

/// What must be so of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A write with this value and version was acknowledged.
    There(u64, u64),
    /// A deletion was asked for.
    Going,
    /// A deletion was acknowledged.
    Gone,
}

/// What all processes so far have said.
#[derive(Debug, Default)]
struct Said {
    objects: BTreeMap<String, State>,
    /// The newest version of any process before the present one.
    before: u64,
    newest: u64,
    acknowledged: u64,
}

impl Said {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, state) = match words[..] {
            ["there", name, value, version] => {
                let (value, version) = (value.parse().unwrap(), version.parse().unwrap());
                assert!(version > self.before, "{name}: version {version} after {}", self.before);
                self.newest = self.newest.max(version);
                (name, State::There(value, version))
            }
            ["going", name] => (name, State::Going),
            ["gone", name] => (name, State::Gone),
            _ => return,
        };
        self.acknowledged += u64::from(state != State::Going);
        self.objects.insert(name.to_owned(), state);
    }

    /// Compares with what a server has that opened the file.
    fn hold_against(&mut self, server: &ApiServer, kill: u32) {
        let found = server.store().list("configmaps", Some("default"));
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        let found: BTreeMap<_, _> = found.into_iter().map(|object| (name(&object), object)).collect();
        for (name, object) in &found {
            assert_eq!(
                object["data"]["first"], object["data"]["last"],
                "kill {kill}: {name} is half an object"
            );
            assert_ne!(self.objects.get(name), Some(&State::Gone), "kill {kill}: {name} is back");
        }
        for (name, state) in &self.objects {
            let State::There(acknowledged, then) = *state else { continue };
            let Some(object) = found.get(name) else {
                panic!("kill {kill}: {name} was acknowledged and is lost")
            };
            assert!(
                value(object) >= acknowledged,
                "kill {kill}: {name} is {}, not {acknowledged}",
                value(object)
            );
            assert!(version(object) >= then, "kill {kill}: the version of {name} went back");
        }
        let now = server.store().read(Store::version);
        assert!(now > self.newest, "kill {kill}: version {now} after {}", self.newest);
        self.before = now;
        // What is gone for good need not be remembered for ever.
        self.objects.retain(|name, state| *state != State::Gone || found.contains_key(name));
    }
}

/// A process that writes to a file until it is killed.
struct Writing {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Writing {
    fn start(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_that_writes", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("HUB_FILE", path).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Kills it at once or when it has written, and a moment later.
    fn kill(mut self, when: When, moment: Duration, said: &mut Said) {
        let (mut line, begun) = (String::new(), said.acknowledged);
        while when == When::Writing
            && said.acknowledged == begun
            && self.out.read_line(&mut line).unwrap() > 0
        {
            said.note(&line);
            line.clear();
        }
        std::thread::sleep(moment);
        assert_eq!(self.child.try_wait().unwrap(), None, "the child ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while self.out.read_line(&mut line).unwrap() > 0 {
            // The last line may be cut off; a whole one ends.
            if line.ends_with('\n') {
                said.note(&line);
            }
            line.clear();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// While it opens the file, mostly.
    Opening,
    Writing,
}

#[test]
fn no_kill_loses_an_acknowledged_write_or_leaves_half_an_object() {
    let kills = std::env::var("KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hub.redb");
    drop(Storage::create(&path).unwrap());
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut below = |bound: u64| random.next_u64() % bound;
    let (mut said, mut opened) = (Said::default(), Vec::new());
    for kill in 0..kills {
        let when = if below(4) == 0 { When::Opening } else { When::Writing };
        let moment = Duration::from_micros(below(60_000));
        Writing::start(&path).kill(when, moment, &mut said);
        let begin = Instant::now();
        let server = open(&path);
        opened.push(begin.elapsed());
        said.hold_against(&server, kill);
    }
    opened.sort();
    let middle = opened.get(opened.len() / 2).copied().unwrap_or_default();
    println!(
        "{kills} kills, {} acknowledged writes, none lost, none half, no version went back; opened again in {middle:?} \
         (median), {:?} (worst)",
        said.acknowledged,
        opened.last().copied().unwrap_or_default(),
    );
}
