//! The document of version 2 in protobuf, as clients made with Kubernetes' own library ask for it.
//!
//! COMPAT: the numbers of fields are those of `OpenAPIv2.proto` in gnostic-models.

use serde_json::{Map, Value};

/// The media type of answers; requests write its dots otherwise.
pub(super) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
pub(super) const ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, number: u64, message: &Self) {
        self.bytes(number, &message.0);
    }

    fn text(&mut self, number: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u64, values: &Value) {
        values.as_array().into_iter().flatten().for_each(|value| self.text(number, value));
    }

    fn flag(&mut self, number: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.varint(number << 3);
            self.varint(1);
        }
    }

    fn whole(&mut self, number: u64, value: &Value) {
        if let Some(value) = value.as_i64() {
            self.varint(number << 3);
            self.varint(value.cast_unsigned());
        }
    }

    fn fraction(&mut self, number: u64, value: &Value) {
        if let Some(value) = value.as_f64() {
            self.varint(number << 3 | 1);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Any value, as text in YAML, which JSON is too.
    fn any(&mut self, number: u64, value: &Value) {
        if !value.is_null() {
            let mut any = Self::default();
            any.bytes(2, value.to_string().as_bytes());
            self.message(number, &any);
        }
    }

    /// Entries with names, each written by a function.
    fn named(&mut self, number: u64, entries: &Value, write: fn(&Value) -> Self) {
        for (name, value) in entries.as_object().into_iter().flatten() {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes());
            entry.message(2, &write(value));
            self.message(number, &entry);
        }
    }

    fn extensions(&mut self, number: u64, entries: &Map<String, Value>) {
        for (name, value) in entries.iter().filter(|(name, _)| name.starts_with("x-")) {
            let mut entry = Self::default();
            entry.bytes(1, name.as_bytes());
            entry.any(2, value);
            self.message(number, &entry);
        }
    }
}

fn wrapped(number: u64, message: &Message) -> Message {
    let mut outer = Message::default();
    outer.message(number, message);
    outer
}

/// The document.
pub(super) fn document(value: &Value) -> Vec<u8> {
    let mut document = Message::default();
    document.text(1, &value["swagger"]);
    let mut info = Message::default();
    info.text(1, &value["info"]["title"]);
    info.text(2, &value["info"]["version"]);
    document.message(2, &info);
    let mut paths = Message::default();
    paths.named(2, &value["paths"], path);
    document.message(8, &paths);
    let mut definitions = Message::default();
    definitions.named(1, &value["definitions"], schema);
    document.message(9, &definitions);
    document.0
}

fn path(value: &Value) -> Message {
    let mut item = Message::default();
    let methods = ["get", "put", "post", "delete", "options", "head", "patch"];
    for (number, method) in (2..).zip(methods) {
        if value[method].is_object() {
            item.message(number, &operation(&value[method]));
        }
    }
    parameters(&mut item, 9, &value["parameters"]);
    item
}

fn operation(value: &Value) -> Message {
    let mut operation = Message::default();
    operation.texts(1, &value["tags"]);
    operation.text(3, &value["description"]);
    operation.text(5, &value["operationId"]);
    operation.texts(6, &value["produces"]);
    operation.texts(7, &value["consumes"]);
    parameters(&mut operation, 8, &value["parameters"]);
    let mut responses = Message::default();
    responses.named(1, &value["responses"], response);
    operation.message(9, &responses);
    if let Some(entries) = value.as_object() {
        operation.extensions(13, entries);
    }
    operation
}

fn response(value: &Value) -> Message {
    let mut response = Message::default();
    response.text(1, &value["description"]);
    if value["schema"].is_object() {
        response.message(2, &wrapped(1, &schema(&value["schema"])));
    }
    wrapped(1, &response)
}

fn parameters(of: &mut Message, number: u64, values: &Value) {
    for value in values.as_array().into_iter().flatten() {
        of.message(number, &wrapped(1, &parameter(value)));
    }
}

fn parameter(value: &Value) -> Message {
    let mut parameter = Message::default();
    if value["in"] == "body" {
        parameter.text(1, &value["description"]);
        parameter.text(2, &value["name"]);
        parameter.text(3, &value["in"]);
        parameter.flag(4, &value["required"]);
        parameter.message(5, &schema(&value["schema"]));
        return wrapped(1, &parameter);
    }
    // Parameters of a query may be empty: their fields after the name come one later than those of a path.
    let of_path = value["in"] == "path";
    let later = u64::from(!of_path);
    parameter.flag(1, &value["required"]);
    parameter.text(2, &value["in"]);
    parameter.text(3, &value["description"]);
    parameter.text(4, &value["name"]);
    parameter.text(5 + later, &value["type"]);
    parameter.text(6 + later, &value["format"]);
    parameter.flag(19 + later, &value["uniqueItems"]);
    wrapped(2, &wrapped(if of_path { 4 } else { 3 }, &parameter))
}

fn schema(value: &Value) -> Message {
    let mut schema = Message::default();
    for (number, field) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        schema.text(number, &value[field]);
    }
    schema.any(5, &value["default"]);
    for (number, field) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        schema.fraction(number, &value[field]);
    }
    let wholes = [
        (11, "maxLength"),
        (12, "minLength"),
        (14, "maxItems"),
        (15, "minItems"),
        (17, "maxProperties"),
        (18, "minProperties"),
    ];
    for (number, field) in wholes {
        schema.whole(number, &value[field]);
    }
    for (number, field) in
        [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems"), (27, "readOnly")]
    {
        schema.flag(number, &value[field]);
    }
    schema.texts(19, &value["required"]);
    value["enum"].as_array().into_iter().flatten().for_each(|choice| schema.any(20, choice));
    let free = &value["additionalProperties"];
    if free.is_object() {
        schema.message(21, &wrapped(1, &self::schema(free)));
    } else if free == &Value::Bool(true) {
        schema.message(21, &Message(vec![2 << 3, 1]));
    }
    if value["type"].is_string() {
        let mut kind = Message::default();
        kind.text(1, &value["type"]);
        schema.message(22, &kind);
    }
    if value["items"].is_object() {
        schema.message(23, &wrapped(1, &self::schema(&value["items"])));
    }
    for part in value["allOf"].as_array().into_iter().flatten() {
        schema.message(24, &self::schema(part));
    }
    if value["properties"].is_object() {
        let mut properties = Message::default();
        properties.named(1, &value["properties"], self::schema);
        schema.message(25, &properties);
    }
    if let Some(entries) = value.as_object() {
        schema.extensions(31, entries);
    }
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_written_field_by_field() {
        let small = json!({"swagger": "2.0", "info": {"title": "T"}, "paths": {},
            "definitions": {"A": {"type": "object", "x-y": 1}}});
        let kind = [&[22 << 3 & 0x7f | 2 | 0x80, 1, 8][..], b"\x0a\x06object"].concat();
        let extension = [&[0xfa, 1, 10][..], b"\x0a\x03x-y", b"\x12\x03\x12\x011"].concat();
        let schema = [kind.as_slice(), &extension].concat();
        let mut named = vec![0x0a, 1, b'A', 0x12, u8::try_from(schema.len()).unwrap()];
        named.extend(&schema);
        let mut definitions = vec![0x0a, u8::try_from(named.len()).unwrap()];
        definitions.extend(&named);
        let mut expected = b"\x0a\x032.0\x12\x03\x0a\x01T\x42\x00\x4a".to_vec();
        expected.push(u8::try_from(definitions.len()).unwrap());
        expected.extend(&definitions);
        assert_eq!(document(&small), expected);
    }
}
