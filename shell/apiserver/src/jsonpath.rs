//! JSON paths, as definitions write them for printer columns, scales and selectable fields.

use serde_json::Value;

/// A path from the root of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    /// Every element.
    Each,
    /// The elements in which a field has a value.
    Where(Vec<String>, Value),
}

impl JsonPath {
    /// Reads `.status.conditions[?(@.type=="Ready")].status` and the like.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('[') {
                let end = closing(after)?;
                steps.push(Self::bracket(&after[..end])?);
                rest = &after[end + 1..];
            } else {
                let (name, after) = field(rest.strip_prefix('.')?);
                let is_root = name.is_empty() && after.is_empty();
                steps.extend((!is_root).then_some(Step::Field(name)));
                rest = after;
            }
        }
        let nameless = |step: &Step| *step == Step::Field(String::new());
        if steps.iter().any(nameless) { None } else { Some(Self(steps)) }
    }

    fn bracket(inner: &str) -> Option<Step> {
        if inner == "*" {
            return Some(Step::Each);
        }
        if let Ok(index) = inner.parse() {
            return Some(Step::Index(index));
        }
        if let Some(name) = quoted(inner) {
            return Some(Step::Field(name.to_owned()));
        }
        let condition = inner.strip_prefix("?(@.")?.strip_suffix(')')?;
        let (path, value) = condition.split_once("==")?;
        let value = match quoted(value.trim()) {
            Some(text) => Value::from(text),
            None => serde_json::from_str(value.trim()).ok()?,
        };
        Some(Step::Where(path.trim().split('.').map(str::to_owned).collect(), value))
    }

    /// The first value that the path leads to.
    pub(crate) fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        follow(&self.0, object)
    }

    /// The path with dots only, where it has nothing else.
    pub(crate) fn dotted(&self) -> Option<String> {
        let names: Option<Vec<_>> = self
            .0
            .iter()
            .map(|step| match step {
                Step::Field(name) => Some(name.as_str()),
                Step::Index(_) | Step::Each | Step::Where(..) => None,
            })
            .collect();
        Some(names?.join("."))
    }
}

fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    text.char_indices().find_map(|(index, letter)| {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, ']') => return Some(index),
            _ => {}
        }
        None
    })
}

/// A field's name, in which a backslash makes a dot part of it, and what follows.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((index, letter)) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
            '.' | '[' => return (name, &text[index..]),
            _ => name.push(letter),
        }
    }
    (name, "")
}

fn quoted(text: &str) -> Option<&str> {
    let within = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    within('\'').or_else(|| within('"'))
}

fn follow<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    match step {
        Step::Field(name) => follow(rest, value.get(name)?),
        Step::Index(index) => follow(rest, value.get(index)?),
        Step::Each => value.as_array()?.iter().find_map(|item| follow(rest, item)),
        Step::Where(path, wanted) => {
            let found = |item: &&Value| {
                path.iter()
                    .try_fold(*item, |value, name| value.get(name))
                    .is_some_and(|found| found == wanted)
            };
            value.as_array()?.iter().filter(found).find_map(|item| follow(rest, item))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::JsonPath;

    #[test]
    fn paths_lead_to_fields_elements_and_conditions() {
        let object = json!({"metadata": {"labels": {"a.b/c": "x"}}, "status": {"list": [1, 2], "conditions": [
            {"type": "Old", "status": "False"}, {"type": "Ready", "status": "True"}]}});
        for (path, found) in [
            (".status.list[1]", json!(2)),
            (".status.list[*]", json!(1)),
            (r#".status.conditions[?(@.type=="Ready")].status"#, json!("True")),
            (r".metadata.labels.a\.b/c", json!("x")),
            (".metadata.labels['a.b/c']", json!("x")),
        ] {
            assert_eq!(JsonPath::parse(path).unwrap().first(&object), Some(&found), "{path}");
        }
        assert_eq!(JsonPath::parse(".status.none").unwrap().first(&object), None);
        for wrong in ["status", ".a[", ".a[x]", "..a"] {
            assert_eq!(JsonPath::parse(wrong), None, "{wrong}");
        }
        assert_eq!(JsonPath::parse(".a.b").unwrap().dotted().as_deref(), Some("a.b"));
    }
}
