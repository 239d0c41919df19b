//! What a server stores outlives every end of its process.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::Request;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Backup, Credential, Storage, StorageError, Store};
use tower::ServiceExt as _;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WRITERS: usize = 4;

fn below(random: &mut TestRng, bound: u64) -> u64 {
    random.next_u64() % bound
}

fn random(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32])
}

fn open(path: &Path) -> ApiServer {
    ApiServer::builder().credentials([Credential::admin("admin")]).open(Storage::open(path).unwrap()).unwrap()
}

fn new_file(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("hub.redb");
    drop(Storage::create(&path).unwrap());
    path
}

async fn send(server: &ApiServer, method: &str, path: &str, body: String) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = server.service_as("admin").oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let text = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&text).unwrap_or_default())
}

fn map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"first": value, "padding": "x".repeat(700), "last": value},
    })
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Not a test but the process that is killed: each writer counts one object up and says what was acknowledged.
#[test]
#[ignore = "a child process of the tests below"]
fn child_that_writes() {
    let path = PathBuf::from(std::env::var_os("HUB_FILE").unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = open(&path);
        let writers = (0..WRITERS).map(|writer| tokio::spawn(count(server.clone(), writer)));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

async fn count(server: ApiServer, writer: usize) {
    let name = format!("counter-{writer}");
    let (code, found) = send(&server, "GET", &format!("{MAPS}/{name}"), String::new()).await;
    let mut number: u64 =
        if code == 200 { found["data"]["first"].as_str().unwrap().parse().unwrap() } else { 0 };
    if code == 404 {
        let (code, _) = send(&server, "POST", MAPS, map(&name, "0").to_string()).await;
        assert_eq!(code, 201);
    }
    loop {
        number += 1;
        let (code, written) =
            send(&server, "PUT", &format!("{MAPS}/{name}"), map(&name, &number.to_string()).to_string())
                .await;
        assert_eq!(code, 200, "{written}");
        let passing = format!("passing-{writer}-{number}");
        send(&server, "POST", MAPS, map(&passing, "1").to_string()).await;
        send(&server, "DELETE", &format!("{MAPS}/{passing}"), String::new()).await;
        let line = format!("\nacked {writer} {number} {}\n", version(&written));
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

/// A process that writes to a file until it is killed.
struct Writing {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Writing {
    fn start(path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_that_writes", "--ignored", "--nocapture", "--test-threads=1"]);
        command.env("HUB_FILE", path).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    /// Kills it after its first acknowledged write and a moment, and returns the last value and version per writer.
    fn kill_after(mut self, moment: Duration) -> BTreeMap<usize, (u64, u64)> {
        let mut acked = BTreeMap::new();
        let mut line = String::new();
        while acked.is_empty() && self.said.read_line(&mut line).unwrap() > 0 {
            note(&line, &mut acked);
            line.clear();
        }
        assert!(!acked.is_empty(), "the child ended by itself");
        std::thread::sleep(moment);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while self.said.read_line(&mut line).unwrap() > 0 {
            // The last line may be cut off; a whole one ends.
            if line.ends_with('\n') {
                note(&line, &mut acked);
            }
            line.clear();
        }
        acked
    }
}

fn note(line: &str, acked: &mut BTreeMap<usize, (u64, u64)>) {
    let mut words = line.split_whitespace();
    if words.next() == Some("acked") {
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let (writer, value, version) = (number(), number(), number());
        acked.insert(usize::try_from(writer).unwrap(), (value, version));
    }
}

#[test]
fn no_kill_loses_an_acknowledged_write_or_leaves_half_an_object() {
    let kills = std::env::var("KILLS").map_or(8, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = new_file(&folder);
    let mut random = random(7);
    let mut newest = 0;
    for kill in 0..kills {
        let moment = Duration::from_micros(below(&mut random, 60_000));
        let acked = Writing::start(&path).kill_after(moment);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let server = open(&path);
        for (writer, (value, version_then)) in acked {
            let name = format!("counter-{writer}");
            let found = server.store().get("configmaps", "default", &name).unwrap();
            assert_eq!(found["data"]["first"], found["data"]["last"], "kill {kill}: half an object");
            let stored: u64 = found["data"]["first"].as_str().unwrap().parse().unwrap();
            assert!(stored >= value, "kill {kill}: {name} is {stored}, but {value} was acknowledged");
            assert!(version(&found) >= version_then, "kill {kill}: the version of {name} went back");
            newest = newest.max(version_then);
        }
        let now = server.store().read(Store::version);
        assert!(now > newest, "kill {kill}: version {now} after {newest}");
        newest = now;
        let (code, _) = runtime.block_on(send(&server, "GET", MAPS, String::new()));
        assert_eq!(code, 200);
    }
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_old_watches_must_list_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_file(&folder);
    let server = open(&path);
    let (_, kept) = send(&server, "POST", MAPS, map("kept", "1").to_string()).await;
    let (code, gone) = send(&server, "POST", MAPS, map("gone", "1").to_string()).await;
    assert_eq!(code, 201);
    send(&server, "DELETE", &format!("{MAPS}/gone"), String::new()).await;
    let last = server.store().read(Store::version);
    drop(server);

    let server = open(&path);
    let (code, found) = send(&server, "GET", &format!("{MAPS}/kept"), String::new()).await;
    assert_eq!((code, &found), (200, &kept));
    assert_eq!(send(&server, "GET", &format!("{MAPS}/gone"), String::new()).await.0, 404);
    assert!(server.store().read(Store::version) > last);
    for seen in [version(&kept), version(&gone), last] {
        let watch = format!("{MAPS}?watch=true&resourceVersion={seen}&timeoutSeconds=1");
        let (_, told) = send(&server, "GET", &watch, String::new()).await;
        assert_eq!(told["object"]["code"], 410, "{told}");
    }
    let changed = map("kept", "2").to_string();
    let (_, changed) = send(&server, "PUT", &format!("{MAPS}/kept"), changed).await;
    assert!(version(&changed) > last);
}

#[test]
fn one_process_has_the_file_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_file(&folder);
    let first = Storage::open(&path).unwrap();
    assert!(matches!(Storage::open(&path), Err(StorageError::InUse(_))));
    drop(first);
    Storage::open(&path).unwrap();
    assert!(matches!(Storage::create(&path), Err(StorageError::Exists(_))));
}

#[test]
fn a_damaged_file_is_named_and_never_an_empty_hub() {
    let folder = tempfile::tempdir().unwrap();
    let path = new_file(&folder);
    let server = open(&path);
    for number in 0..200 {
        server.store().create(map(&format!("m{number}"), "1")).unwrap();
    }
    drop(server);
    let whole = fs::read(&path).unwrap();
    let opened = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Storage::open(&path).and_then(|storage| storage.contents())
    };
    let sound = opened(&whole).unwrap();
    assert!(sound.objects.len() >= 200);

    let mut random = random(3);
    let mut refused = 0;
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..64 {
            let at = usize::try_from(below(&mut random, bytes.len() as u64)).unwrap();
            bytes[at] ^= 1 << below(&mut random, 8);
        }
        match opened(&bytes) {
            // Pages that nothing refers to may hold anything.
            Ok(contents) => assert_eq!(contents.objects, sound.objects),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("hub.redb"), "{error}");
            }
        }
    }
    assert!(refused > 30, "{refused} of 60 damaged files were refused");
    for length in [0, 1, 100, 4096, whole.len() / 2] {
        let error = opened(&whole[..length]).unwrap_err().to_string();
        assert!(error.contains("hub.redb") && error.contains("restore a backup"), "{length}: {error}");
    }
    assert!(opened(b"something else entirely, but not short").is_err());
    fs::remove_file(&path).unwrap();
    assert!(matches!(Storage::open(&path), Err(StorageError::Missing(_))));
}

#[tokio::test]
async fn a_backup_of_a_running_server_fills_another() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&new_file(&folder));
    send(&server, "POST", MAPS, map("a", "1").to_string()).await;
    let contents = server.contents().await.unwrap();
    let text = Backup { files: BTreeMap::new(), contents }.to_text();

    let path = folder.path().join("other.redb");
    drop(Storage::create_filled(&path, &Backup::from_text(&text).unwrap().contents).unwrap());
    let other = open(&path);
    let one = |server: &ApiServer| server.store().get("configmaps", "default", "a").unwrap();
    assert_eq!(one(&server), one(&other));
}
