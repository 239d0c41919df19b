//! A disk that is full, in a mount namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use axum::body::{Body, to_bytes};
use http::Request;
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Credential, Refusal, Storage, StorageError};
use tower::ServiceExt as _;

/// Bytes of the disk, and of the file that is deleted from it in the end.
const DISK: &str = "16m";
const FILLER: usize = 8 * 1024 * 1024;

fn open(path: &Path) -> ApiServer {
    ApiServer::builder().credentials([Credential::admin("admin")]).open(Storage::open(path).unwrap()).unwrap()
}

fn map(number: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("m{number}"), "namespace": "default"}, "data": {"text": "x".repeat(50_000)}})
}

#[test]
fn a_full_disk_is_told_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let child = "exec \"$CHILD\" --exact child_on_a_small_disk --ignored --nocapture";
    let script = format!("mount -t tmpfs -o size={DISK} small \"$DISK\" && {child}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", &script]);
    command.env("CHILD", std::env::current_exe().unwrap()).env("DISK", folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Not a test but what the test above runs on its small disk.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a small disk"]
async fn child_on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os("DISK").unwrap());
    let (filler, path) = (disk.join("filler"), disk.join("hub.redb"));
    std::fs::write(&filler, vec![0; FILLER]).unwrap();
    drop(Storage::create(&path).unwrap());
    let server = open(&path);
    let mut stored = 0;
    let refusal = loop {
        match server.store().create(map(stored)) {
            Ok(_) => stored += 1,
            Err(refusal) => break refusal,
        }
        assert!(stored < 1000, "a disk of {DISK} takes everything");
    };
    assert!(stored > 10, "{stored} objects were stored");
    assert_eq!((refusal.code(), &refusal), (500, &Refusal::NotStored));

    // What is in memory only is told to nobody, and the operator is told why.
    let request = Request::get("/api/v1/namespaces/default/configmaps").body(Body::empty()).unwrap();
    let answer = server.service_as("admin").oneshot(request).await.unwrap();
    assert_eq!(answer.status().as_u16(), 500);
    let text = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    assert!(String::from_utf8_lossy(&text).contains("the server's log tells why"));
    let failure = server.storage_failure().await;
    let cause = failure.source().map(ToString::to_string).unwrap_or_default();
    assert!(matches!(&*failure, StorageError::Unusable { .. }), "{failure:?}");
    assert!(
        failure.to_string().contains("hub.redb") && failure.to_string().contains("its free space"),
        "{failure}"
    );
    assert!(cause.contains("No space left"), "{cause}");
    drop(server);

    let other = disk.join("other.redb");
    let refused = Storage::create(&other).unwrap_err();
    assert!(refused.to_string().contains("other.redb"), "{refused}");
    assert!(!other.exists(), "half a file has its name");

    std::fs::remove_file(&filler).unwrap();
    let server = open(&path);
    for number in 0..stored {
        let found = server.store().get("configmaps", "default", &format!("m{number}"));
        assert_eq!(found.unwrap()["data"], map(number)["data"], "m{number} of {stored}");
    }
    server.store().create(map(1000)).unwrap();
}
