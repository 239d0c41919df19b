//! What a server stores outlives every end of its process.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use axum::body::{Body, to_bytes};
use http::Request;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Backup, Credential, Storage, StorageError, Store};
use tower::ServiceExt as _;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

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

#[tokio::test]
async fn many_writes_in_one_turn_of_a_task_come_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&new_file(&folder));
    for number in 0..300 {
        server.store().create(map(&format!("m{number}"), "1")).unwrap();
    }
    assert_eq!(server.store().list("configmaps", Some("default")).len(), 300);
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
