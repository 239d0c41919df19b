//! Kernel parameters that are not ours: what they were before this project changed them.

use std::collections::BTreeMap;

use subm_plan::SysctlKey;
use subm_types::{Family, IfName};

/// First values by parameter.
pub(crate) type Saved = BTreeMap<SysctlKey, u32>;

/// The annotation's text: a JSON object of values by the file below `/proc/sys`.
pub(crate) fn write(saved: &Saved) -> String {
    let by_path: BTreeMap<String, u32> = saved.iter().map(|(key, value)| (key.path(), *value)).collect();
    serde_json::to_string(&by_path).unwrap_or_default()
}

/// Reads the annotation; what cannot be read is left out, since a person may have changed it.
pub(crate) fn read(text: &str) -> Saved {
    let by_path: BTreeMap<String, u32> = serde_json::from_str(text).unwrap_or_default();
    by_path.into_iter().filter_map(|(path, value)| Some((key(&path)?, value))).collect()
}

fn key(path: &str) -> Option<SysctlKey> {
    match path {
        "net/ipv4/ip_forward" => return Some(SysctlKey::Forwarding(Family::V4)),
        "net/ipv6/conf/all/forwarding" => return Some(SysctlKey::Forwarding(Family::V6)),
        _ => {}
    }
    let (family, rest) = match path.strip_prefix("net/ipv4/conf/") {
        Some(rest) => (Family::V4, rest),
        None => (Family::V6, path.strip_prefix("net/ipv6/conf/")?),
    };
    let (link, name) = rest.split_once('/')?;
    let link: IfName = link.parse().ok()?;
    match (family, name) {
        (Family::V4, "rp_filter") => Some(SysctlKey::RpFilter(link)),
        (Family::V4, "send_redirects") => Some(SysctlKey::SendRedirects(link)),
        (family, "forwarding") => Some(SysctlKey::LinkForwarding(family, link)),
        (Family::V6, "accept_ra") => Some(SysctlKey::AcceptRa(link)),
        (Family::V6, "addr_gen_mode") => Some(SysctlKey::AddrGenMode(link)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_values_are_read_as_they_were_written() {
        let link: IfName = "bond0.100".parse().unwrap();
        let saved = Saved::from([
            (SysctlKey::Forwarding(Family::V4), 0),
            (SysctlKey::Forwarding(Family::V6), 0),
            (SysctlKey::RpFilter(link.clone()), 1),
            (SysctlKey::AcceptRa(link.clone()), 1),
            (SysctlKey::LinkForwarding(Family::V6, link), 0),
        ]);
        assert_eq!(read(&write(&saved)), saved);
        assert_eq!(
            write(&Saved::from([(SysctlKey::RpFilter("bond0.100".parse().unwrap()), 1)])),
            r#"{"net/ipv4/conf/bond0.100/rp_filter":1}"#
        );
    }

    #[test]
    fn an_annotation_that_a_person_broke_is_nothing_saved() {
        for text in ["", "{", "[]", r#"{"net/ipv4/conf/../rp_filter":1}"#, r#"{"kernel/panic":1}"#] {
            assert!(read(text).is_empty(), "{text}");
        }
    }
}
