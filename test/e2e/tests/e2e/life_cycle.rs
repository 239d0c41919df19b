//! A playground from `up` to `down`, and what is left of it.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use subm_e2e::{Leftovers, Machine, Playground, program, until};
use tempfile::TempDir;

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path of the build is text")?.to_owned())
}

/// A folder that stands for all places where programs put files.
fn home() -> Result<(TempDir, Vec<String>)> {
    let folder = tempfile::tempdir()?;
    let place = |name: &str| format!("{name}={}", folder.path().display());
    let mut words = vec!["env".to_owned()];
    words.extend(["HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_STATE_HOME"].map(place));
    Ok((folder, words))
}

fn is_empty(folder: &TempDir) -> Result<()> {
    let left: Vec<_> = std::fs::read_dir(folder.path())?.flatten().map(|entry| entry.path()).collect();
    ensure!(left.is_empty(), "files are left: {left:?}");
    Ok(())
}

#[test]
fn playground_comes_up_lets_people_in_and_leaves_nothing() -> Result<()> {
    let (folder, mut words) = home()?;
    words.push(text(&program("subctl")?)?);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let before = Machine::look()?;
    let playground = Playground::up_by(&words, &[])?;
    let left = Leftovers::of(playground.name(), playground.status()?.init)?;

    let again = playground.command(&["up"]).output()?;
    ensure!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("is running already"));

    people_get_in(&playground)?;
    states_are_shown(&playground)?;
    for daemon in playground.status()?.daemons {
        let log = playground.command(&["logs", &daemon.path]).output()?;
        ensure!(log.status.success() && !log.stdout.is_empty(), "{} has no log", daemon.path);
    }

    playground.down()?;
    left.are_gone()?;
    is_empty(&folder)?;
    ensure!(Machine::look()? == before, "the machine's own state changed");
    Ok(())
}

fn people_get_in(playground: &Playground) -> Result<()> {
    for (place, name) in
        [("east/worker/pod-1", "east-worker-pod-1"), ("west/gateway", "west-gateway"), ("hub", "hub")]
    {
        let said = playground.ask(place, &["cat", "/proc/sys/kernel/hostname"])?;
        ensure!(said.trim() == name, "{place} is called {said}");
    }
    let folder = playground.ask("east/worker/pod-1", &["pwd"])?;
    ensure!(Path::new(folder.trim()) == std::env::current_dir()?, "a file here is looked for in {folder}");
    let ended = playground.exec("east/worker/pod-1", &["sh", "-c", "exit 7"])?;
    ensure!(ended.status.code() == Some(7), "the code of the program is not told: {}", ended.status);
    let wrong = playground.exec("east/attic", &["true"])?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure!(!wrong.status.success() && said.contains("gateway, worker"), "{said}");
    Ok(())
}

/// `subctl show`, as a person with contexts of both clusters uses it.
fn states_are_shown(playground: &Playground) -> Result<()> {
    let subctl = text(&program("subctl")?)?;
    let both = "KUBECONFIG=/run/submariner/east.kubeconfig:/run/submariner/west.kubeconfig";
    let show = |words: &[&str]| {
        let words = [&["env", both, &subctl, "show"], words].concat();
        playground.ask("east", &words)
    };
    let connected = until("both gateways are connected", || {
        let table = show(&["connections"])?;
        ensure!(table.matches(" connected ").count() == 2, "{table}");
        Ok(table)
    })?;
    for header in ["GATEWAY", "CLUSTER", "REMOTE IP", "NAT", "CABLE DRIVER", "SUBNETS", "STATUS", "RTT avg."]
    {
        ensure!(connected.contains(header), "{header} is missing in {connected}");
    }
    let gateways = show(&["gateways"])?;
    ensure!(gateways.matches("All connections (1) are established").count() == 2, "{gateways}");
    let endpoints = show(&["endpoints"])?;
    ensure!(
        endpoints.matches(" local").count() == 2 && endpoints.matches(" remote").count() == 2,
        "{endpoints}"
    );
    let networks = show(&["networks"])?;
    ensure!(networks.contains("10.1.0.0/16") && networks.contains("100.66.0.0/16"), "{networks}");
    for what in ["connections", "endpoints", "gateways", "networks"] {
        let json: Value = serde_json::from_str(&show(&[what, "-o", "json"])?)?;
        let all = json.to_string();
        ensure!(all.contains("east") && all.contains("west"), "{what}: {all}");
        let yaml = show(&[what, "-o", "yaml"])?;
        ensure!(yaml.contains("east") && yaml.contains("west") && !yaml.contains('{'), "{what}: {yaml}");
    }
    Ok(())
}

#[test]
fn name_is_free_when_its_playground_is_down() -> Result<()> {
    let subctl = program("subctl")?;
    let playground = Playground::up(&subctl, &["--pods", "1", "--workers", "0"])?;
    for _ in 0..3 {
        let said = |words: &[&str]| -> Result<()> {
            let output = playground.command(words).output()?;
            ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        said(&["check", "--only", "at-home"])?;
        said(&["down"])?;
        said(&["up", "--pods", "1", "--workers", "0"])?;
    }
    playground.down()
}

#[test]
fn check_takes_its_own_playgrounds_down() -> Result<()> {
    let subctl = program("subctl")?;
    let words = ["playground", "check", "--cable-driver", "all", "--only", "at-home", "--workers", "0"];
    let output = Command::new(&subctl).args(words).env_remove("SUBCTL_PLAYGROUND").output()?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    ensure!(said(&output.stdout).contains("demo: 4 of 4 checks passed"), "{}", said(&output.stdout));
    Ok(())
}

#[test]
fn switched_off_user_namespaces_are_told_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    open_to_all(folder.path())?;
    for name in ["subctl", "submariner"] {
        std::fs::copy(program(name)?, folder.path().join(name))?;
    }
    let subctl = text(&folder.path().join("subctl"))?;
    // The limit counts within a user namespace, so that the machine's own stays as it is.
    let script = format!("echo 0 > /proc/sys/user/max_user_namespaces && exec {subctl} playground up");
    let words = ["--user", "--map-user", "65534", "--map-group", "65534", "--keep-caps", "sh", "-c", &script];
    let output = Command::new("unshare").args(words).stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(said.contains("user.max_user_namespaces = 0") && said.contains("run this as root"), "{said}");
    ensure!(said.lines().count() == 1, "{said}");
    Ok(())
}

#[test]
fn killed_holder_or_killed_init_leaves_nothing() -> Result<()> {
    let subctl = program("subctl")?;
    let before = Machine::look()?;
    for victim in ["holder", "init"] {
        let playground = Playground::up(&subctl, &["--pods", "1"])?;
        let init = playground.status()?.init;
        let left = Leftovers::of(playground.name(), init)?;
        let number = if victim == "holder" { left.holder()? } else { init };
        kill(Pid::from_raw(number), Signal::SIGKILL)?;
        until("everything of a killed playground is gone", || left.are_gone())
            .with_context(|| format!("the {victim} was killed"))?;
        playground.forget();
    }
    ensure!(Machine::look()? == before, "the machine's own state changed");
    Ok(())
}

#[test]
fn interrupted_up_leaves_nothing() -> Result<()> {
    let subctl = program("subctl")?;
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let playground = Playground::named(&[&text(&subctl)?]);
        // Daemons that end at once never join the clusters.
        let mut up = playground.command(&["up", "--submariner", "/bin/true"]);
        let mut up = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let left = until("the playground can be asked", || {
            Leftovers::of(playground.name(), playground.status()?.init)
        })?;
        kill(Pid::from_raw(up.id().try_into()?), signal)?;
        ensure!(!up.wait()?.success(), "an interrupted up tells of success");
        until("everything of an interrupted up is gone", || left.are_gone())
            .with_context(|| signal.to_string())?;
        playground.forget();
    }
    Ok(())
}

#[test]
fn what_up_says_to_go_on_with_is_there() -> Result<()> {
    let playground = Playground::named(&[&text(&program("subctl")?)?]);
    let shape = ["--clusters", "lima,oslo", "--families", "ipv6", "--workers", "2", "--pods", "1"];
    let output = playground.command(&[&["up"][..], &shape].concat()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let mut tried = 0;
    for (what, words) in said.lines().filter_map(|line| line.split_once(" -- ")) {
        let place = what.rsplit(' ').next().context("a place is named")?;
        playground.ask(place, &["true"])?;
        if let Some(address) = words.strip_prefix("ping ") {
            let known = said.lines().any(|line| line.starts_with("oslo/") && line.ends_with(address));
            ensure!(known, "no pod of oslo has {address}: {said}");
            tried += 1;
        }
    }
    let daemon = said.lines().find_map(|line| line.split_once(" logs -f "));
    let (_, daemon) = daemon.with_context(|| said.clone())?;
    ensure!(playground.command(&["logs", daemon]).output()?.status.success(), "{daemon} has no log");
    ensure!(tried == 1, "{said}");
    playground.down()
}

#[test]
fn what_a_check_cannot_do_is_said() -> Result<()> {
    let playground = Playground::up(&program("subctl")?, &["--pods", "1"])?;
    let output = |words: &[&str]| -> Result<(bool, String)> {
        let output = playground.command(words).output()?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (done, said) = output(&["check", "--only", "nonsense"])?;
    ensure!(!done && said.contains("no check") && said.contains("nonsense"), "{said}");
    let (done, said) = output(&["check", "--only", "node/", "--clusters", "3"])?;
    ensure!(!done && said.contains("running already") && said.contains(playground.name()), "{said}");
    let (done, said) = output(&["exec", "east", "--", "no-such-program"])?;
    ensure!(!done && said.contains("no-such-program"), "{said}");
    playground.down()
}

#[test]
fn readers_that_go_away_are_no_errors() -> Result<()> {
    let playground = Playground::up(&program("subctl")?, &["--pods", "1"])?;
    for words in [&["status"][..], &["check", "--only", "node/"], &["logs", "-f", "east/gateway/gateway"]] {
        let mut command = playground.command(words);
        let mut command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        drop(command.stdout.take());
        let output = command.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success() && said.is_empty(), "{words:?}: {} {said}", output.status);
    }
    playground.down()
}

#[test]
fn ordinary_user_needs_nothing_else() -> Result<()> {
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir()?;
    open_to_all(folder.path())?;
    for name in ["subctl", "submariner"] {
        std::fs::copy(program(name)?, folder.path().join(name))?;
    }
    let subctl = text(&folder.path().join("subctl"))?;
    // Only root of the machine may become somebody else; others get a user namespace in which they are no root.
    let anybody = std::fs::read_to_string("/proc/self/uid_map")?.contains("4294967295");
    let user = NOBODY.to_string();
    let wrapper = if anybody {
        vec!["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "--", &subctl]
    } else {
        vec!["unshare", "--user", "--map-user", &user, "--map-group", &user, "--", &subctl]
    };
    let before = Machine::look()?;
    let playground = Playground::up_by(&wrapper, &["--workers", "1"])?;
    let left = Leftovers::of(playground.name(), playground.status()?.init)?;
    let said = playground.ask("east/worker", &["cat", "/proc/self/uid_map"])?;
    ensure!(
        !said.contains("4294967295"),
        "the playground of an ordinary user is in the machine's user namespace"
    );
    let checked = playground.command(&["check", "--only", "pod/"]).output()?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(checked.status.success() && said.contains("24 of 24 checks passed"), "{said}");
    playground.down()?;
    left.are_gone()?;
    ensure!(Machine::look()? == before, "the machine's own state changed");
    Ok(())
}

fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}

#[test]
fn second_playground_of_a_name_and_unknown_drivers_are_refused_by_name() -> Result<()> {
    let subctl = program("subctl")?;
    let refused = |words: &[&str]| -> Result<String> {
        let name = format!("e2e-{}", std::process::id());
        let mut command = Command::new(&subctl);
        let output = command.arg0("subctl").args(["playground", "--name", &name]).args(words).output()?;
        ensure!(!output.status.success(), "{words:?} was done");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let wrong = [
        "playground nonsense",
        "playground up --cable-driver pigeon",
        "playground up --pods 0",
        "show nonsense",
    ];
    for line in wrong {
        let code = Command::new(&subctl).args(line.split(' ')).output()?.status.code();
        ensure!(code == Some(64), "the wrong command line {line:?} ends with {code:?}");
    }
    for name in ["", "a b", &"x".repeat(120)] {
        let output = Command::new(&subctl).args(["playground", "--name", name, "status"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(said.contains("--name") && said.contains("1 to 63 letters"), "{name:?}: {said}");
    }
    let said = refused(&["up", "--cable-driver", "carrier-pigeon"])?;
    ensure!(said.contains("carrier-pigeon") && said.contains("vxlan"), "{said}");
    let text = tempfile::NamedTempFile::new()?;
    let said = refused(&["up", "--submariner", &text.path().display().to_string()])?;
    ensure!(said.contains("cannot be run") && said.contains("chmod +x"), "{said}");
    let said = refused(&["up", "--submariner", "/nowhere/submariner"])?;
    ensure!(said.contains("/nowhere/submariner") && said.contains("cargo build"), "{said}");
    for words in
        [&["status"][..], &["down"], &["exec", "east", "--", "true"], &["logs", "east/gateway/gateway"]]
    {
        let said = refused(words)?;
        ensure!(said.contains("no playground") && said.contains("up`"), "{said}");
    }
    Ok(())
}
