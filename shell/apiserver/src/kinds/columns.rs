//! The columns of `kubectl get`: a table of its own per kind, as Kubernetes prints it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::KindId;
use crate::jsonpath::JsonPath;

mod cluster;
mod network;
mod workload;

/// How one cell is found in an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell {
    /// The text at a dotted path.
    Path(&'static str),
    /// How long ago the object was created.
    Age,
    /// Whatever the function makes of the object.
    With(fn(&Value) -> Value),
    /// The same, of what depends on the time.
    At(fn(&Value, Timestamp) -> Value),
    /// What a definition's column finds.
    Defined(&'static JsonPath),
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) cell: Cell,
    /// 0 is always shown, more only in wide output.
    pub(crate) priority: i64,
    /// The type of its cells.
    pub(crate) form: &'static str,
    pub(crate) format: &'static str,
    pub(crate) description: &'static str,
}

const PLAIN: Column =
    Column { name: "", cell: Cell::Age, priority: 0, form: "string", format: "", description: "" };

/// The first column of nearly every kind.
pub(crate) const NAME: Column = Column {
    name: "Name",
    cell: Cell::Path("metadata.name"),
    format: "name",
    description: "The name, unique among the objects of its kind in its namespace.",
    ..PLAIN
};

const AGE: Column = Column { name: "Age", description: "How long ago the object was created.", ..PLAIN };

const fn path(name: &'static str, path: &'static str) -> Column {
    Column { name, cell: Cell::Path(path), ..PLAIN }
}

const fn with(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, cell: Cell::With(cell), ..PLAIN }
}

const fn at(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, cell: Cell::At(cell), ..PLAIN }
}

/// The same with whole numbers in its cells.
const fn number(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { form: "integer", ..with(name, cell) }
}

/// The same in wide output only.
const fn wide(column: Column) -> Column {
    Column { priority: 1, ..column }
}

/// COMPAT: what has no columns of its own.
const OTHERS: &[Column] = &[
    NAME,
    Column { name: "Created At", cell: Cell::Path("metadata.creationTimestamp"), form: "date", ..PLAIN },
];

/// The columns of a built-in kind.
pub(crate) fn of(kind: KindId) -> &'static [Column] {
    let tables = [cluster::TABLES, network::TABLES, workload::TABLES];
    let known = tables
        .into_iter()
        .flatten()
        .find(|(group, plural, _)| (*group, *plural) == (kind.group, kind.plural));
    known.map_or(OTHERS, |(.., columns)| columns)
}

/// Group, plural and columns of a kind.
type Table = (&'static str, &'static str, &'static [Column]);

fn items<'a>(object: &'a Value, pointer: &str) -> impl DoubleEndedIterator<Item = &'a Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn whole(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

fn joined(parts: impl Iterator<Item = String>, nothing: &str) -> Value {
    let text = parts.collect::<Vec<_>>().join(",");
    if text.is_empty() { json!(nothing) } else { json!(text) }
}

/// COMPAT: of more than three the rest is counted.
fn first_three(parts: impl Iterator<Item = String>) -> Value {
    let all: Vec<_> = parts.collect();
    match all.len() {
        0 => json!("<unset>"),
        1..=3 => json!(all.join(",")),
        more => json!(format!("{} + {} more...", all[..3].join(","), more - 3)),
    }
}

/// Labels as `key=value`.
fn labels(object: &Value, pointer: &str) -> Value {
    let labels = object.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
    joined(labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())), "<none>")
}

/// A `LabelSelector` as text, by its keys.
fn selector(selector: &Value) -> String {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let equal =
        equal.map(|(key, value)| (key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let expressions = expressions.map(|expression| {
        let key = text(expression, "/key");
        let values: Vec<_> = items(expression, "/values").filter_map(Value::as_str).collect();
        let written = match text(expression, "/operator") {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({})", operator.to_lowercase(), values.join(",")),
        };
        (key.to_owned(), written)
    });
    let mut all: Vec<_> = equal.chain(expressions).collect();
    all.sort();
    all.into_iter().map(|(_, written)| written).collect::<Vec<_>>().join(",")
}

/// How long ago a time at a place was.
fn since(object: &Value, pointer: &str, now: Timestamp) -> String {
    match text(object, pointer).parse::<Timestamp>() {
        Ok(time) => rough(now.duration_since(time)),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// How long ago an object was created.
pub(crate) fn age(object: &Value, now: Timestamp) -> String {
    since(object, "/metadata/creationTimestamp", now)
}

/// A duration in the two units that matter.
pub(crate) fn rough(duration: SignedDuration) -> String {
    if duration.as_secs() < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => two(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_kubectl_writes_them() {
        let cases = [
            (-1, "0s"),
            (-5, "<invalid>"),
            (119, "119s"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (11_000, "3h3m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (70_000_000, "2y80d"),
            (300_000_000, "9y"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rough(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn selectors_are_written_by_their_keys() {
        let written = selector(&json!({"matchLabels": {"b": "1"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "c", "operator": "DoesNotExist"}]}));
        assert_eq!(written, "a in (x,y),b=1,!c");
        assert_eq!(
            first_three(["1", "2", "3", "4", "5"].map(str::to_owned).into_iter()),
            "1,2,3 + 2 more..."
        );
    }
}
