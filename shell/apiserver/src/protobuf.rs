//! Objects of built-in kinds in protobuf, as clients made with Kubernetes' own library send them.
//!
//! COMPAT: the numbers and names of fields in `messages.txt` are those of Kubernetes v1.33. Each line is a message and
//! its fields: `*` stands for one whose fields are the message's own, `[T]` for a list, `{T}` for a map by text, and
//! `?` for a value that may be zero without being left out. Answers are JSON, which every client takes.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

mod parts;

use parts::{Part, Parts};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What stands before every message.
const MAGIC: &[u8] = b"k8s\0";
/// Fields of the envelope, `runtime.Unknown`, and of the type in it.
const TYPE: u64 = 1;
const RAW: u64 = 2;
const API_VERSION: u64 = 1;
const KIND: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Bytes,
    Bool,
    Number,
    /// A message of this name.
    Message(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Many {
    One,
    List,
    Map,
}

#[derive(Debug)]
struct Field {
    /// `*`: the fields of the message belong to this one.
    name: &'static str,
    shape: Shape,
    many: Many,
    /// Zero is a value; of other fields it means that they are left out.
    keeps_zero: bool,
}

static MESSAGES: LazyLock<HashMap<&'static str, HashMap<u64, Field>>> =
    LazyLock::new(|| include_str!("protobuf/messages.txt").lines().filter_map(message_line).collect());

fn message_line(line: &'static str) -> Option<(&'static str, HashMap<u64, Field>)> {
    let (name, fields) = line.split_once(": ")?;
    Some((name, fields.split("; ").filter_map(field).collect()))
}

fn field(text: &'static str) -> Option<(u64, Field)> {
    let mut words = text.split(' ');
    let (number, name, written) = (words.next()?, words.next()?, words.next()?);
    let bare = written.trim_matches(['[', ']', '{', '}', '?']);
    let shape = match bare {
        "string" => Shape::Text,
        "bytes" => Shape::Bytes,
        "bool" => Shape::Bool,
        "int32" | "int64" => Shape::Number,
        message => Shape::Message(message),
    };
    let many = match written.as_bytes().first()? {
        b'[' => Many::List,
        b'{' => Many::Map,
        _ => Many::One,
    };
    let keeps_zero = written.ends_with('?') || many != Many::One;
    Some((number.parse().ok()?, Field { name, shape, many, keeps_zero }))
}

/// Whether objects of this type can be read.
pub(crate) fn knows(api_version: &str, kind: &str) -> bool {
    MESSAGES.contains_key(message_name(api_version, kind).as_str())
}

/// `core.v1.ConfigMap` of `v1` and `ConfigMap`; `rbac.v1.Role` of `rbac.authorization.k8s.io/v1` and `Role`.
fn message_name(api_version: &str, kind: &str) -> String {
    if kind == "DeleteOptions" {
        return "meta.v1.DeleteOptions".to_owned();
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
    format!("{}.{version}.{kind}", group.split('.').next().unwrap_or_default())
}

/// The object in a body; none where it is not one, or of no known type.
pub(crate) fn object(body: &[u8]) -> Option<Value> {
    let envelope = Parts(body.strip_prefix(MAGIC)?).collect::<Option<Vec<_>>>()?;
    let part = |wanted| envelope.iter().find_map(|(number, part)| (*number == wanted).then_some(*part));
    let told = Parts(part(TYPE)?.bytes()?).collect::<Option<Vec<_>>>()?;
    let text = |wanted| told.iter().find_map(|(number, part)| (*number == wanted).then(|| part.text())?);
    let (api_version, kind) = (text(API_VERSION)?, text(KIND)?);
    let raw = part(RAW)?.bytes()?;
    // The type is the client's word: it may name a message that is no object, such as a time.
    let Value::Object(mut object) = message(&message_name(api_version, kind), raw)? else { return None };
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Some(Value::Object(object))
}

fn message(name: &str, bytes: &[u8]) -> Option<Value> {
    if SCALARS.contains(&name) {
        return scalar(name, bytes);
    }
    let fields = MESSAGES.get(name)?;
    let mut object = Map::new();
    for part in Parts(bytes) {
        let (number, part) = part?;
        let Some(field) = fields.get(&number) else { continue };
        read(field, part, &mut object)?;
    }
    Some(Value::Object(object))
}

fn read(field: &Field, part: Part<'_>, object: &mut Map<String, Value>) -> Option<()> {
    match field.many {
        Many::One if field.name == "*" => {
            let inner = one(field.shape, part)?;
            object.extend(inner.as_object()?.clone());
        }
        Many::One => {
            let value = one(field.shape, part)?;
            if field.keeps_zero || !is_zero(&value) {
                object.insert(field.name.to_owned(), value);
            }
        }
        Many::List => {
            let list = object.entry(field.name).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(one(field.shape, part)?);
        }
        Many::Map => {
            let entry = Parts(part.bytes()?).collect::<Option<Vec<_>>>()?;
            let at = |wanted| entry.iter().find_map(|(number, part)| (*number == wanted).then_some(*part));
            let key = at(1).map_or(Some(""), Part::text)?;
            let value = one(field.shape, at(2).unwrap_or(Part::Bytes(&[])))?;
            let map = object.entry(field.name).or_insert_with(|| json!({}));
            map.as_object_mut()?.insert(key.to_owned(), value);
        }
    }
    Some(())
}

fn one(shape: Shape, part: Part<'_>) -> Option<Value> {
    Some(match shape {
        Shape::Text => json!(part.text()?),
        Shape::Bytes => json!(crate::base64_of(part.bytes()?)),
        Shape::Bool => json!(part.number()? != 0),
        Shape::Number => json!(part.number()?.cast_signed()),
        Shape::Message(name) => message(name, part.bytes()?)?,
    })
}

/// Messages that are written otherwise than as objects.
const SCALARS: [&str; 8] = [
    "meta.v1.Time",
    "meta.v1.MicroTime",
    "meta.v1.FieldsV1",
    "runtime.RawExtension",
    "resource.Quantity",
    "intstr.IntOrString",
    "authentication.v1.ExtraValue",
    "authorization.v1.ExtraValue",
];

fn scalar(name: &str, bytes: &[u8]) -> Option<Value> {
    match name {
        "meta.v1.Time" => time(bytes, "%Y-%m-%dT%H:%M:%SZ"),
        "meta.v1.MicroTime" => time(bytes, "%Y-%m-%dT%H:%M:%S%.6fZ"),
        "meta.v1.FieldsV1" | "runtime.RawExtension" => raw(bytes),
        "resource.Quantity" => Some(json!(first(bytes, 1).map_or(Some("0"), Part::text)?)),
        "intstr.IntOrString" => int_or_string(bytes),
        _ => {
            let texts = Parts(bytes).map(|part| Some(json!(part?.1.text()?)));
            texts.collect::<Option<Vec<_>>>().map(Value::Array)
        }
    }
}

fn first(bytes: &[u8], wanted: u64) -> Option<Part<'_>> {
    Parts(bytes).flatten().find_map(|(number, part)| (number == wanted).then_some(part))
}

fn time(bytes: &[u8], form: &str) -> Option<Value> {
    let number = |field| first(bytes, field).map_or(Some(0), Part::number);
    let (seconds, nanos) = (number(1)?.cast_signed(), number(2)?);
    // COMPAT: a time that is not set is sent as a message without fields.
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    let time = Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()?;
    Some(json!(time.strftime(form).to_string()))
}

fn raw(bytes: &[u8]) -> Option<Value> {
    match first(bytes, 1) {
        Some(part) => serde_json::from_slice(part.bytes()?).ok(),
        None => Some(Value::Null),
    }
}

fn int_or_string(bytes: &[u8]) -> Option<Value> {
    let is_text = first(bytes, 1).map_or(Some(0), Part::number)? == 1;
    if is_text {
        return Some(json!(first(bytes, 3).map_or(Some(""), Part::text)?));
    }
    Some(json!(first(bytes, 2).map_or(Some(0), Part::number)?.cast_signed()))
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KindId;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn envelope(api_version: &[u8], kind: &[u8], object: &[u8]) -> Vec<u8> {
        let told = field(1, &[field(1, api_version), field(2, kind)].concat());
        [MAGIC, told.as_slice(), &field(2, object), &field(3, b""), &field(4, b"")].concat()
    }

    #[test]
    fn an_object_is_read_as_kubectl_sends_it() {
        let metadata =
            [field(1, b"a"), field(2, b""), field(3, b"n"), vec![7 << 3, 0], field(8, b"")].concat();
        let data = field(2, &[field(1, b"key"), field(2, b"value")].concat());
        let bytes = field(3, &[field(1, b"raw"), field(2, &[0xff, 0])].concat());
        let map = [field(1, &metadata), data, bytes, vec![4 << 3, 0]].concat();
        assert_eq!(
            object(&envelope(b"v1", b"ConfigMap", &map)).unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"},
                "data": {"key": "value"}, "binaryData": {"raw": "/wA="}, "immutable": false})
        );
        let port =
            [field(1, b"http"), vec![3 << 3, 80], field(4, &[vec![1 << 3, 1], field(3, b"web")].concat())];
        let service = [field(1, &field(1, b"s")), field(2, &field(1, &port.concat()))].concat();
        assert_eq!(
            object(&envelope(b"v1", b"Service", &service)).unwrap()["spec"]["ports"],
            json!([{"name": "http", "port": 80, "targetPort": "web"}])
        );
    }

    #[test]
    fn questions_and_options_are_read_too() {
        let resource = [field(1, b"default"), field(2, b"get"), field(5, b"pods")].concat();
        let review = [field(1, b""), field(2, &field(1, &resource))].concat();
        let read =
            object(&envelope(b"authorization.k8s.io/v1", b"SelfSubjectAccessReview", &review)).unwrap();
        let expected = json!({"namespace": "default", "verb": "get", "resource": "pods"});
        assert_eq!(read["spec"]["resourceAttributes"], expected);
        let spec = [field(1, b"a"), field(1, b"b"), vec![4 << 3, 0xd8, 0x04]].concat();
        let read = object(&envelope(b"authentication.k8s.io/v1", b"TokenRequest", &field(2, &spec))).unwrap();
        assert_eq!(read["spec"], json!({"audiences": ["a", "b"], "expirationSeconds": 600}));
        let options = object(&envelope(b"apps/v1", b"DeleteOptions", &[1 << 3, 0])).unwrap();
        assert_eq!(options["gracePeriodSeconds"], 0);
    }

    #[test]
    fn what_is_cut_off_is_no_object() {
        let body = envelope(b"v1", b"Namespace", &field(1, &field(1, b"name")));
        assert!(object(&body).is_some());
        for length in 0..body.len() - 4 {
            assert!(object(&body[..length]).is_none(), "{length}");
        }
        assert!(object(&envelope(b"example.com/v1", b"Thing", b"")).is_none());
        assert!(object(b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_none());
    }

    #[test]
    fn a_message_that_is_written_otherwise_is_no_object() {
        for name in SCALARS {
            let (group, kind) = name.split_once(".v1.").unwrap_or(("runtime", name));
            let version = format!("{group}/v1");
            assert_eq!(object(&envelope(version.as_bytes(), kind.as_bytes(), b"")), None, "{name}");
        }
        assert_eq!(object(&envelope(b"meta/v1", b"Time", &[1 << 3, 1])), None);
        assert_eq!(object(&envelope(b"authentication/v1", b"ExtraValue", &field(1, b"a"))), None);
    }

    #[test]
    fn every_message_that_is_named_is_known() {
        let all = MESSAGES.iter().flat_map(|(name, fields)| fields.values().map(move |field| (name, field)));
        for (name, field) in all {
            let Shape::Message(below) = field.shape else { continue };
            assert!(MESSAGES.contains_key(below) || SCALARS.contains(&below), "{name}: {below}");
        }
    }

    #[test]
    fn fields_have_the_names_that_schemas_have() {
        for kind in KindId::all().filter(|kind| kind.group != "apiextensions.k8s.io") {
            let name = message_name(&kind.api_version(), kind.name);
            let fields = MESSAGES.get(name.as_str()).unwrap_or_else(|| panic!("{name} is unknown"));
            for field in fields.values() {
                assert!(kind.schema().field(field.name).is_some(), "{name}: {}", field.name);
            }
        }
    }
}
