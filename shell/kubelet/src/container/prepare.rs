//! From a container's manifest to what is started.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::api::{list, text};
use crate::cell::{Cell, Mount};
use crate::environment::{self, expand};
use crate::pod::Context;
use crate::refusal::Refusal;

/// Programs of the machine.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the program of an image is, in the containers that have one.
const PROGRAMS: &str = "/run/image";
/// COMPAT: what containerd lets programs of containers have.
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A program with its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) cell: Cell,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Ready {
    /// What starts it.
    pub(crate) fn command(&self, runtime: &[String]) -> io::Result<Command> {
        let [program, arguments @ ..] = runtime else { return Err(io::Error::other("there is no runtime")) };
        let mut command = Command::new(program);
        let cell = serde_json::to_string(&self.cell)?;
        command.arg0("container").args(arguments).arg(cell).env_clear().envs(&self.environment);
        Ok(command)
    }
}

pub(crate) async fn prepare(context: &Context, container: &Value) -> Result<Ready, Refusal> {
    refuse_what_is_not_done(container)?;
    let settings = &context.kubelet.settings;
    let image = text(container, "/image");
    let found = settings.images.get(image).ok_or_else(|| {
        let known: Vec<&str> = settings.images.keys().map(String::as_str).collect();
        Refusal::image(format!("Failed to pull image {image:?}: there are only {}", known.join(", ")))
    })?;
    let pod = context.pod.borrow().clone();
    let sources = context.kubelet.sources(&pod, environment::named(container)).await?;
    let (address, port) = settings.api_server;
    let path = found.program.as_ref().map_or_else(|| PATH.to_owned(), |_| format!("{PROGRAMS}:{PATH}"));
    let given = [
        ("PATH", path),
        ("HOSTNAME", context.hostname(&pod)),
        ("KUBERNETES_SERVICE_HOST", address.to_string()),
        ("KUBERNETES_SERVICE_PORT", port.to_string()),
        ("KUBERNETES_SERVICE_PORT_HTTPS", port.to_string()),
    ];
    let given = given.map(|(name, value)| (name.to_owned(), value));
    let environment = environment::of(&pod, container, &sources, &given)?;
    let words = |field: &str| -> Vec<String> {
        list(container, field)
            .iter()
            .filter_map(Value::as_str)
            .map(|word| expand(word, &environment))
            .collect()
    };
    let (command, arguments) = (words("/command"), words("/args"));
    let start = if command.is_empty() { found.entrypoint.clone() } else { command };
    let command = [start, arguments].concat();
    if command.is_empty() {
        return Err(Refusal::create(format!("no command specified: the image {image} has none of its own")));
    }
    let mut mounts = context.volumes.lock().await.mounts(&pod, container)?;
    mounts.extend(found.program.as_deref().and_then(program));
    let folder = container["workingDir"].as_str().filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let report = context.folder().join(format!("{}.report", text(container, "/name")));
    let cell =
        Cell { mounts, folder: folder.or_else(|| Some("/".into())), command, report, ..Cell::default() };
    Ok(Ready { cell: secured(cell, &pod, container)?, environment })
}

/// A program where also those can run it who may not enter the folder that it lies in.
fn program(from: &Path) -> Option<Mount> {
    let to = Path::new(PROGRAMS).join(from.file_name()?);
    Some(Mount { from: from.to_owned(), to, read_only: false })
}

/// INVARIANT: nothing that a manifest asks for is left out in silence.
fn refuse_what_is_not_done(container: &Value) -> Result<(), Refusal> {
    let refused = [
        ("lifecycle", !container["lifecycle"].is_null()),
        ("volumeDevices", !list(container, "/volumeDevices").is_empty()),
        ("stdin", container["stdin"] == true),
        ("tty", container["tty"] == true),
        (
            "securityContext.readOnlyRootFilesystem",
            container["securityContext"]["readOnlyRootFilesystem"] == true,
        ),
        ("restartPolicy of a container", container["restartPolicy"].is_string()),
    ];
    match refused.iter().find(|(_, asked)| *asked) {
        Some((field, _)) => {
            Err(Refusal::config(format!("{field} is not done by this kubelet: leave it out")))
        }
        None => Ok(()),
    }
}

fn secured(mut cell: Cell, pod: &Value, container: &Value) -> Result<Cell, Refusal> {
    let (own, all) = (&container["securityContext"], &pod["spec"]["securityContext"]);
    let number = |field: &str| {
        let number = own[field].as_u64().or_else(|| all[field].as_u64());
        number.and_then(|number| u32::try_from(number).ok())
    };
    cell.user = number("runAsUser");
    cell.group = number("runAsGroup").or(cell.user.map(|_| 0).filter(|_| cell.user != Some(0)));
    let supplementary = list(all, "/supplementalGroups").iter().chain([&all["fsGroup"]]);
    cell.groups =
        supplementary.filter_map(Value::as_u64).filter_map(|group| u32::try_from(group).ok()).collect();
    let refuses_root = own["runAsNonRoot"].as_bool().or_else(|| all["runAsNonRoot"].as_bool()) == Some(true);
    if refuses_root && cell.user.unwrap_or_default() == 0 {
        return Err(Refusal::config("container has runAsNonRoot and image will run as root"));
    }
    let privileged = own["privileged"] == true;
    cell.no_new_privileges = own["allowPrivilegeEscalation"] == false && !privileged;
    cell.capabilities = if privileged {
        caps::all()
            .into_iter()
            .map(|capability| capability.to_string().trim_start_matches("CAP_").to_owned())
            .collect()
    } else {
        capabilities(own)
    };
    Ok(cell)
}

fn capabilities(security: &Value) -> Vec<String> {
    let named = |field: &str| -> Vec<String> {
        let names = list(security, field).iter().filter_map(Value::as_str);
        names.map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
    };
    let (added, dropped) = (named("/capabilities/add"), named("/capabilities/drop"));
    let all = |names: &[String]| names.iter().any(|name| name == "ALL");
    let mut kept: Vec<String> = if all(&added) {
        caps::all()
            .into_iter()
            .map(|capability| capability.to_string().trim_start_matches("CAP_").to_owned())
            .collect()
    } else if all(&dropped) {
        Vec::new()
    } else {
        CAPABILITIES.map(str::to_owned).to_vec()
    };
    kept.retain(|name| !dropped.contains(name));
    kept.extend(added.into_iter().filter(|name| name != "ALL"));
    kept.sort_unstable();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn capabilities_are_those_of_containers_with_what_is_added_and_dropped() {
        let of =
            |add: &[&str], drop: &[&str]| capabilities(&json!({"capabilities": {"add": add, "drop": drop}}));
        assert_eq!(of(&[], &[]).len(), CAPABILITIES.len());
        assert_eq!(of(&["NET_ADMIN"], &["ALL"]), ["NET_ADMIN"]);
        assert!(!of(&[], &["NET_RAW"]).contains(&"NET_RAW".to_owned()));
        assert!(of(&["ALL"], &["SYS_ADMIN"]).contains(&"NET_ADMIN".to_owned()));
        assert!(!of(&["ALL"], &["SYS_ADMIN"]).contains(&"SYS_ADMIN".to_owned()));
    }

    #[test]
    fn a_user_that_is_refused_is_named() {
        let pod = json!({"spec": {"securityContext": {"runAsNonRoot": true}}});
        let refused = secured(Cell::default(), &pod, &json!({})).unwrap_err();
        assert_eq!(refused.reason, "CreateContainerConfigError");
        let cell = secured(Cell::default(), &pod, &json!({"securityContext": {"runAsUser": 1000}})).unwrap();
        assert_eq!((cell.user, cell.group), (Some(1000), Some(0)));
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        let refused = refuse_what_is_not_done(&json!({"lifecycle": {"preStop": {}}})).unwrap_err();
        assert_eq!(refused.message, "lifecycle is not done by this kubelet: leave it out");
    }
}
