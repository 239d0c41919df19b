//! ConfigMaps and Secrets.

use serde_json::Value;

use super::{Change, entries, fixed, text};
use crate::schema::Cause;

/// As many bytes as one may hold.
const LARGEST: usize = 1024 * 1024;

const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
                   'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

pub(in crate::kinds) fn config_map(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let map = change.new;
    let mut size = 0;
    for field in ["data", "binaryData"] {
        for (name, value) in entries(map, field) {
            key(field, name, causes);
            if field == "data" && map["binaryData"].get(name).is_some() {
                let detail = "duplicate of key present in binaryData";
                causes.push(Cause::invalid(&format!("data[{name}]"), &Value::from(name.as_str()), detail));
            }
            let length = value.as_str().map_or(0, str::len);
            size += if field == "data" { length } else { length / 4 * 3 };
        }
    }
    room(size, "[]", causes);
    immutable(change, &["data", "binaryData"], causes);
}

pub(in crate::kinds) fn secret(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let secret = change.new;
    let mut size = 0;
    for (name, value) in entries(secret, "data") {
        key("data", name, causes);
        size += value.as_str().map_or(0, str::len) / 4 * 3;
    }
    room(size, "data", causes);
    let annotation = &secret["metadata"]["annotations"]["kubernetes.io/service-account.name"];
    let wanted: &[&str] = match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            if annotation.as_str().is_none_or(str::is_empty) {
                let field = "metadata.annotations[kubernetes.io/service-account.name]";
                causes.push(Cause::required(field, ""));
            }
            &[]
        }
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        _ => &[],
    };
    for name in wanted.iter().filter(|name| secret["data"].get(**name).is_none()) {
        causes.push(Cause::required(&format!("data[{name}]"), ""));
    }
    fixed(change, "type", causes);
    immutable(change, &["data"], causes);
}

fn key(field: &str, name: &str, causes: &mut Vec<Cause>) {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let value = Value::from(name);
    let mut wrong = |detail: &str| causes.push(Cause::invalid(&format!("{field}[{name}]"), &value, detail));
    if name.len() > 253 {
        wrong("must be no more than 253 bytes");
    }
    if name.is_empty() || !name.bytes().all(legal) {
        wrong(KEY);
    } else if [".", ".."].contains(&name) {
        wrong(&format!("must not be '{name}'"));
    } else if name.starts_with("..") {
        wrong("must not start with '..'");
    }
}

fn room(size: usize, field: &str, causes: &mut Vec<Cause>) {
    if size > LARGEST {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {LARGEST} bytes"),
            field: field.to_owned(),
        });
    }
}

/// COMPAT: what is immutable stays so, with its data.
fn immutable(change: &Change<'_>, fields: &[&str], causes: &mut Vec<Cause>) {
    let Some(old) = change.old.filter(|old| old["immutable"] == true) else { return };
    let detail = "field is immutable when `immutable` is set";
    if change.new["immutable"] != true {
        causes.push(Cause::forbidden("immutable", detail));
    }
    for field in fields.iter().filter(|field| old[**field] != change.new[**field]) {
        causes.push(Cause::forbidden(field, detail));
    }
}
