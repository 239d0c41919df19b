//! What must hold between the fields of built-in kinds, and between an object and what it was: what schemas cannot say.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::metadata::{is_dns_label, is_label_key, is_label_value};
use crate::patch::Part;
use crate::schema::{Cause, Path};

mod data;
mod event;
mod network;
mod node;
mod pod;
mod roles;
mod service;
mod workload;

pub(super) use data::{config_map, secret};
pub(super) use event::event;
pub(super) use network::{endpoints, network_policy, slice};
pub(super) use node::{lease, node};
pub(super) use pod::pod;
pub(super) use roles::{binding, role};
pub(super) use service::service;
pub(super) use workload::{budget, daemon_set, deployment, replica_set, stateful_set};

/// An object that is about to be written.
pub(crate) struct Change<'a> {
    /// What was there before.
    pub(crate) old: Option<&'a Value>,
    pub(crate) new: &'a Value,
    pub(crate) part: Part,
}

/// Names what is wrong with a change.
pub(crate) type Check = fn(&Change<'_>, &mut Vec<Cause>);

pub(super) fn none(_: &Change<'_>, _: &mut Vec<Cause>) {}

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                     validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const POSITIVE: &str = "must be greater than or equal to 0";
const PORT: &str = "must be between 1 and 65535, inclusive";
const IMMUTABLE: &str = "field is immutable";

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    value[field].as_array().into_iter().flatten().enumerate()
}

fn entries<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value[field].as_object().into_iter().flat_map(Map::iter)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn invalid(path: Path<'_>, value: &Value, detail: &str) -> Cause {
    Cause::invalid(&path.to_string(), value, detail)
}

/// A field may not change once it was set.
fn fixed(change: &Change<'_>, field: &str, causes: &mut Vec<Cause>) {
    if let Some(old) = change.old
        && old[field] != change.new[field]
    {
        causes.push(Cause::invalid(field, &change.new[field], IMMUTABLE));
    }
}

fn port(value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    if !value.as_i64().is_some_and(|number| (1..=65_535).contains(&number)) {
        causes.push(invalid(path, value, PORT));
    }
}

/// A number, or the name of one.
fn port_or_name(value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    match value.as_str() {
        None => port(value, path, causes),
        Some(name) => causes.extend(wrong_port_name(name).map(|why| invalid(path, value, why))),
    }
}

/// RFC 6335.
fn wrong_port_name(name: &str) -> Option<&'static str> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > 15 {
        Some("must be no more than 15 characters")
    } else if !name.bytes().all(legal) {
        Some("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    } else if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Some("must contain at least one letter (a-z)")
    } else if name.contains("--") {
        Some("must not contain consecutive hyphens")
    } else if name.starts_with('-') || name.ends_with('-') {
        Some("must not begin or end with a hyphen")
    } else {
        None
    }
}

fn dns_label(value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    let name = value.as_str().unwrap_or_default();
    if name.len() > 63 {
        causes.push(invalid(path, value, "must be no more than 63 bytes"));
    }
    if !is_dns_label(name) {
        causes.push(invalid(path, value, LABEL));
    }
}

/// Names that stand twice.
fn distinct(names: Vec<(&Value, String)>, causes: &mut Vec<Cause>) {
    let mut seen = BTreeSet::new();
    for (name, field) in names.into_iter().filter(|(name, _)| !name.is_null() && **name != "") {
        if !seen.insert(name.to_string()) {
            causes.push(Cause::duplicate(&field, name));
        }
    }
}

fn not_negative(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    if value.as_i64().is_some_and(|number| number < 0) {
        causes.push(Cause::invalid(field, value, POSITIVE));
    }
}

fn labels(value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if !is_label_key(key) {
            let detail = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                          with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
                          validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
            causes.push(invalid(path, &json!(key), detail));
        }
        if !is_label_value(value.as_str().unwrap_or_default()) {
            let detail = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                          '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  \
                          or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
            causes.push(invalid(path, value, detail));
        }
    }
}

/// A `LabelSelector`.
fn selector(value: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    labels(&value["matchLabels"], path.field("matchLabels"), causes);
    for (index, expression) in items(value, "matchExpressions") {
        let path = path.field("matchExpressions");
        let path = path.index(index);
        let values = expression["values"].as_array().map_or(0, Vec::len);
        match text(expression, "operator") {
            "In" | "NotIn" if values == 0 => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                causes.push(Cause::required(&path.field("values").to_string(), why));
            }
            "Exists" | "DoesNotExist" if values > 0 => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                causes.push(Cause::forbidden(&path.field("values").to_string(), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "" => {}
            _ => causes.push(invalid(
                path.field("operator"),
                &expression["operator"],
                "not a valid selector operator",
            )),
        }
    }
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

/// A selector or another map of texts as Go writes it.
fn go_map(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten().map(|(key, value)| format!("{key:?}:{value}"));
    format!("map[string]string{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}
