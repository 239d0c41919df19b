//! What the demo needs is said before anything is built.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// A machine with a folder of programs that say what they are told to say.
fn needs(name: &str, programs: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    for (program, body) in programs {
        let path = folder.join(program);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/needs");
    Command::new(script).args(arguments).env("PATH", path).output().unwrap()
}

#[test]
fn user_namespaces_that_are_switched_off_are_named_in_one_line() {
    let user = [("id", "echo 1000"), ("unshare", "exit 1"), ("cargo", "echo cargo 1.95.0")];
    let output = needs("switched-off", &user, &["demo"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("user.max_user_namespaces") && said.contains("as root"), "{said}");
    // What only builds needs none.
    assert!(needs("switched-off", &user, &[]).status.success());
}

#[test]
fn a_compiler_that_is_too_old_is_named_with_the_remedy() {
    let output = needs("too-old", &[("cargo", "echo cargo 1.94.2")], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("found 1.94: rustup update stable"), "{said}");
}
