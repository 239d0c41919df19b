//! libreswan's programs, as a person or the Go implementation would run them.

use std::path::Path;
use std::process::Command;

use subm_lab::Host;

const PROGRAMS: &str = "/usr/libexec/ipsec";

fn run(host: &Host, program: &str, arguments: &[&str]) -> String {
    let call = || {
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", format!("{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin"));
        let output = command.output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    host.enter(call).unwrap()
}

/// Asks the daemon of these files.
pub(crate) fn whack(host: &Host, directory: &Path, arguments: &[&str]) -> String {
    let socket = directory.join("pluto.ctl").display().to_string();
    let all: Vec<&str> = ["--ctlsocket", &socket].into_iter().chain(arguments.iter().copied()).collect();
    run(host, &format!("{PROGRAMS}/whack"), &all)
}

/// The number of the daemon's process.
pub(crate) fn process(directory: &Path) -> Option<i32> {
    std::fs::read_to_string(directory.join("pluto.pid")).ok()?.trim().parse().ok()
}

/// Ends the daemon as a crash would.
pub(crate) fn kill(directory: &Path) {
    let number = process(directory).unwrap().to_string();
    let ended = Command::new("/bin/bash").args(["-c", &format!("kill -9 {number}")]).status().unwrap();
    assert!(ended.success());
}
