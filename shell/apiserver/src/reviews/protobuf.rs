//! Questions in protobuf, which is what `kubectl auth` and `kubectl create token` send.
//!
//! COMPAT: the field numbers are those of Kubernetes' `generated.proto`. Answers are JSON, which every client takes.

use serde_json::{Map, Value, json};

/// What stands before every message.
const MAGIC: &[u8] = b"k8s\0";

/// What a field holds.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Number,
    Texts,
    Message(&'static [Field]),
}

/// Number, name and content.
type Field = (u64, &'static str, Shape);

const RESOURCE: &[Field] = &[
    (1, "namespace", Shape::Text),
    (2, "verb", Shape::Text),
    (3, "group", Shape::Text),
    (4, "version", Shape::Text),
    (5, "resource", Shape::Text),
    (6, "subresource", Shape::Text),
    (7, "name", Shape::Text),
];
const PATH: &[Field] = &[(1, "path", Shape::Text), (2, "verb", Shape::Text)];
const ACCESS: &[Field] = &[
    (1, "resourceAttributes", Shape::Message(RESOURCE)),
    (2, "nonResourceAttributes", Shape::Message(PATH)),
    (3, "user", Shape::Text),
    (4, "groups", Shape::Texts),
    (6, "uid", Shape::Text),
];
/// What a review of one's own access asks; its other fields have other meanings.
const OWN_ACCESS: &[Field] = ACCESS.split_at(2).0;
const RULES: &[Field] = &[(1, "namespace", Shape::Text)];
const TOKEN: &[Field] = &[(1, "token", Shape::Text), (2, "audiences", Shape::Texts)];
const HOLDER: &[Field] = &[
    (1, "kind", Shape::Text),
    (2, "apiVersion", Shape::Text),
    (3, "name", Shape::Text),
    (4, "uid", Shape::Text),
];
const REQUEST: &[Field] = &[
    (1, "audiences", Shape::Texts),
    (3, "boundObjectRef", Shape::Message(HOLDER)),
    (4, "expirationSeconds", Shape::Number),
];
/// The envelope: `runtime.Unknown`.
const RAW: u64 = 2;
const SPEC: u64 = 2;

/// The question of a kind in a body; none where it is none.
pub(super) fn question(kind: &str, body: &[u8]) -> Option<Value> {
    let spec = match kind {
        "SelfSubjectReview" => &[],
        "SelfSubjectAccessReview" => OWN_ACCESS,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => ACCESS,
        "SelfSubjectRulesReview" => RULES,
        "TokenReview" => TOKEN,
        "TokenRequest" => REQUEST,
        _ => return None,
    };
    let envelope = Parts(body.strip_prefix(MAGIC)?).collect::<Option<Vec<_>>>()?;
    let raw = envelope.iter().find_map(|(number, part)| (*number == RAW).then_some(*part))?;
    let mut object = json!({"spec": {}});
    for part in Parts(raw.bytes()?) {
        let (number, part) = part?;
        if number == SPEC {
            object["spec"] = message(spec, part.bytes()?)?;
        }
    }
    Some(object)
}

fn message(fields: &[Field], bytes: &[u8]) -> Option<Value> {
    let mut object = Map::new();
    for part in Parts(bytes) {
        let (number, part) = part?;
        let Some((_, name, shape)) = fields.iter().find(|(known, ..)| *known == number) else { continue };
        let value = match shape {
            Shape::Number => json!(part.number()?),
            Shape::Text => json!(part.text()?),
            Shape::Message(fields) => message(fields, part.bytes()?)?,
            Shape::Texts => {
                let mut known = object.remove(*name).unwrap_or_else(|| json!([]));
                known.as_array_mut()?.push(json!(part.text()?));
                known
            }
        };
        object.insert((*name).to_owned(), value);
    }
    Some(Value::Object(object))
}

/// The fields of a message, each with its number; none where the bytes are no message.
struct Parts<'a>(&'a [u8]);

#[derive(Clone, Copy)]
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Part<'a> {
    fn number(self) -> Option<u64> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

impl<'a> Parts<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn part(&mut self) -> Option<(u64, Part<'a>)> {
        let key = self.varint()?;
        let part = match key & 7 {
            0 => Part::Number(self.varint()?),
            1 => Part::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Part::Bytes(self.take(length)?)
            }
            5 => Part::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, part))
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Option<(u64, Part<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_none() {
            self.0 = &[];
        }
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn envelope(object: &[u8]) -> Vec<u8> {
        let kind = field(1, &field(1, b"authorization.k8s.io/v1"));
        [MAGIC, kind.as_slice(), &field(2, object), &field(3, b""), &field(4, b"")].concat()
    }

    #[test]
    fn a_question_is_read_as_kubectl_sends_it() {
        let resource = [field(1, b"default"), field(2, b"get"), field(5, b"pods")].concat();
        let body = envelope(&[field(1, b""), field(2, &field(1, &resource))].concat());
        let expected = json!({"namespace": "default", "verb": "get", "resource": "pods"});
        let read = question("SelfSubjectAccessReview", &body).unwrap();
        assert_eq!(read["spec"]["resourceAttributes"], expected);
        let spec = [field(1, b"a"), field(1, b"b"), vec![4 << 3, 0xd8, 0x04]].concat();
        let read = question("TokenRequest", &envelope(&field(2, &spec))).unwrap();
        assert_eq!(read["spec"], json!({"audiences": ["a", "b"], "expirationSeconds": 600}));
    }

    #[test]
    fn what_is_cut_off_is_no_question() {
        let body = envelope(&field(2, &field(1, b"default")));
        assert!(question("SelfSubjectRulesReview", &body).is_some());
        for length in 0..body.len() - 4 {
            assert!(question("SelfSubjectRulesReview", &body[..length]).is_none(), "{length}");
        }
        assert!(question("ConfigMap", &body).is_none());
    }
}
