//! What the machine must offer before a lab can be built on it.

use std::fs;
use std::path::Path;

/// Why no namespaces can be had here, in one line with the remedy; `None` if they can.
///
/// Asked before anything is started, so that an ordinary user reads a sentence and not an errno.
pub fn obstacle() -> Option<String> {
    if !Path::new("/proc/self/ns/net").exists() {
        return Some("this kernel has no network namespaces (CONFIG_NET_NS)".to_owned());
    }
    if nix::unistd::geteuid().is_root() {
        return None;
    }
    if !Path::new("/proc/self/ns/user").exists() {
        return Some("this kernel has no user namespaces (CONFIG_USER_NS): run it as root".to_owned());
    }
    let switches = [
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ];
    switches.into_iter().find_map(|(key, closed, remedy)| {
        let value = fs::read_to_string(format!("/proc/sys/{key}")).ok()?;
        (value.trim() == closed).then(|| {
            let name = key.replace('/', ".");
            format!("ordinary users may not make namespaces here ({name} = {closed}): as root, `{remedy}`, or run this as root")
        })
    })
}
