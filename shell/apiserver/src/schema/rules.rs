//! The rules of schemas in the Common Expression Language: `x-kubernetes-validations`.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Program};
use serde_json::Value;

use super::{Cause, ListKind, NoReferences, Schema, Type, paths, texts};

mod fields;
mod functions;

pub(crate) use functions::context;

/// One rule with the programs it is made of.
#[derive(Debug)]
pub(crate) struct Rule {
    text: String,
    program: Program,
    message: Option<String>,
    message_program: Option<Program>,
    reason: &'static str,
    field: String,
    /// It looks at the value before the change.
    is_transition: bool,
    optional_old: bool,
}

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleProblem {
    #[error("compilation failed: {0}")]
    Syntax(String),
    #[error("compilation failed: undeclared reference to '{0}' (in container '')")]
    Undeclared(String),
    #[error("compilation failed: ERROR: <input>:1:{column}: undefined field '{field}'\n | {rule}\n | {:.<before$}^", "", before = .column - 1)]
    Undefined {
        field: String,
        rule: String,
        /// Where the field's dot is, from 1.
        column: usize,
    },
}

/// Compiles a rule; the functions that it calls must exist.
pub(crate) fn compile(text: &str) -> Result<Program, RuleProblem> {
    compile_with(text, &[])
}

/// Compiles an expression that may call these functions too.
pub(crate) fn compile_with(text: &str, more: &[&str]) -> Result<Program, RuleProblem> {
    let program = functions::environment()
        .compile(text)
        .map_err(|error| RuleProblem::Syntax(error.to_string().replace('\n', " ")))?;
    let references = program.references();
    let mut unknown: Vec<_> = references
        .functions()
        .into_iter()
        .filter(|name| name.starts_with(|first: char| first.is_ascii_alphabetic()))
        .filter(|name| !functions::KNOWN.contains(name) && !more.contains(name))
        .map(str::to_owned)
        .collect();
    unknown.sort();
    match unknown.into_iter().next() {
        Some(name) => Err(RuleProblem::Undeclared(name)),
        None => Ok(program),
    }
}

/// Compiles a rule; what it names must exist, also in the schema that it is a rule of.
fn compile_for(text: &str, schema: &Schema) -> Result<(), RuleProblem> {
    let program = compile(text)?;
    let Some(field) = fields::undefined(program.expression(), schema) else { return Ok(()) };
    let rule = text.trim().to_owned();
    let column = rule.find(&format!(".{field}")).map_or(1, |place| place + 1);
    Err(RuleProblem::Undefined { field, rule, column })
}

/// The rules of one schema; those that do not compile are left out: `problems` names them.
pub(super) fn read(schema: &Value) -> Vec<Rule> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    rules.into_iter().flatten().filter_map(read_one).collect()
}

fn read_one(rule: &Value) -> Option<Rule> {
    let text = |key: &str| rule.get(key).and_then(Value::as_str);
    let program = compile(text("rule")?).ok()?;
    Some(Rule {
        is_transition: program.references().has_variable("oldSelf"),
        text: text("rule")?.trim().to_owned(),
        program,
        message: text("message").map(str::to_owned),
        message_program: text("messageExpression").and_then(|text| compile(text).ok()),
        reason: match text("reason") {
            Some("FieldValueForbidden") => "FieldValueForbidden",
            Some("FieldValueRequired") => "FieldValueRequired",
            Some("FieldValueDuplicate") => "FieldValueDuplicate",
            _ => "FieldValueInvalid",
        },
        field: text("fieldPath").unwrap_or_default().to_owned(),
        optional_old: super::says(rule, "optionalOldSelf"),
    })
}

/// What the rules say of a changed object; `old` is none of a new one.
pub(crate) fn judge(schema: &Schema, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    if !has_rules(schema) {
        return Vec::new();
    }
    let mut judge = Judge { context: context(), causes: Vec::new() };
    judge.walk(schema, value, old, "");
    judge.causes
}

fn has_rules(schema: &Schema) -> bool {
    !schema.rules.is_empty()
        || schema.properties.values().any(|below| has_rules(below))
        || schema.items.as_deref().is_some_and(has_rules)
        || schema.values.as_deref().is_some_and(has_rules)
}

struct Judge {
    context: Context<'static, 'static>,
    causes: Vec<Cause>,
}

impl Judge {
    fn walk(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &str) {
        if !schema.rules.is_empty() {
            let (own, before) = (to_cel(schema, value), old.map(|old| to_cel(schema, old)));
            for rule in &schema.rules {
                self.causes.extend(rule.judge(&self.context, schema, (&own, before.as_ref()), path));
            }
        }
        match value {
            Value::Object(entries) => {
                let known =
                    entries.iter().filter_map(|(name, value)| Some((name, value, schema.field(name)?)));
                for (name, value, below) in known {
                    let old = old.and_then(|old| old.get(name));
                    self.walk(below, value, old, &paths::field(path, name));
                }
            }
            Value::Array(items) => {
                let Some(item) = schema.items.as_deref() else { return };
                for (index, value) in items.iter().enumerate() {
                    let old = counterpart(&schema.list, value, old);
                    self.walk(item, value, old, &paths::index(path, index));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// The element that was there before, where elements have keys.
fn counterpart<'a>(list: &ListKind, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    let ListKind::Map(keys) = list else { return None };
    let same = |old: &&Value| keys.iter().all(|key| old.get(key) == item.get(key));
    old?.as_array()?.iter().find(same)
}

impl Rule {
    fn judge(
        &self,
        context: &Context<'_, '_>,
        schema: &Schema,
        (own, before): (&cel::Value, Option<&cel::Value>),
        path: &str,
    ) -> Option<Cause> {
        if self.is_transition && before.is_none() && !self.optional_old {
            return None;
        }
        let mut scope = context.new_inner_scope();
        scope.add_variable_from_value("self", own.clone());
        if self.optional_old {
            scope.add_variable_from_value("oldSelf", functions::optional(before.cloned()));
        } else if let Some(before) = before {
            scope.add_variable_from_value("oldSelf", before.clone());
        }
        let detail = match self.program.execute(&scope) {
            Ok(cel::Value::Bool(true)) => return None,
            Ok(cel::Value::Bool(false)) => self.message(&scope),
            Ok(_) => format!("cel expression evaluated to unexpected type evaluating rule: {}", self.text),
            Err(error) => format!("{error} evaluating rule: {}", self.text),
        };
        let field = format!("{path}{}", self.field);
        let field = field.trim_start_matches('.').to_owned();
        let found = format!("{:?}", type_word(schema));
        let message = match self.reason {
            "FieldValueForbidden" => format!("Forbidden: {detail}"),
            "FieldValueRequired" => format!("Required value: {detail}"),
            "FieldValueDuplicate" => format!("Duplicate value: {found}"),
            _ => format!("Invalid value: {found}: {detail}"),
        };
        let field = if field.is_empty() { "<nil>".to_owned() } else { field };
        Some(Cause { reason: self.reason, message, field })
    }

    fn message(&self, scope: &Context<'_, '_>) -> String {
        let computed = self.message_program.as_ref().and_then(|program| program.execute(scope).ok());
        match (computed, &self.message) {
            (Some(cel::Value::String(text)), _) if !text.trim().is_empty() => text.to_string(),
            (_, Some(message)) => message.clone(),
            _ => format!("failed rule: {}", self.text),
        }
    }
}

fn type_word(schema: &Schema) -> &'static str {
    if schema.form == Type::Any { "object" } else { schema.form.word() }
}

/// A value as expressions see it: declared fields under escaped names, formats as their types.
fn to_cel(schema: &Schema, value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match (schema.form, number.as_i64()) {
            (Type::Number, _) | (_, None) => cel::Value::Float(number.as_f64().unwrap_or_default()),
            (_, Some(whole)) => cel::Value::Int(whole),
        },
        Value::String(text) => functions::formatted(schema.limits.format.as_deref(), text),
        Value::Array(items) => {
            let any = Schema::default();
            let item = schema.items.as_deref().unwrap_or(&any);
            cel::Value::List(Arc::new(items.iter().map(|value| to_cel(item, value)).collect()))
        }
        Value::Object(entries) => {
            let any = Schema::default();
            let entry = |(name, value): (&String, &Value)| {
                let below = schema.field(name).unwrap_or(&any);
                let name = if schema.properties.contains_key(name) { escaped(name) } else { name.clone() };
                (Key::String(Arc::new(name)), to_cel(below, value))
            };
            let map: HashMap<_, _> = entries.iter().map(entry).collect();
            cel::Value::Map(Map { map: Arc::new(map) })
        }
    }
}

/// A value as it is, whatever its kind.
pub(crate) fn plain(value: &Value) -> cel::Value {
    to_cel(&Schema::default(), value)
}

/// A field's name as an identifier of expressions.
fn escaped(name: &str) -> String {
    const RESERVED: [&str; 19] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
    ];
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let escaped = name.replace("__", "__underscores__");
    escaped.replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}

/// What is wrong with the rules of one schema, by field below it.
pub(super) fn problems(schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    let own = if rules.is_some() { Schema::read(schema, &mut NoReferences) } else { Schema::default() };
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let path = paths::index(&paths::field(path, "x-kubernetes-validations"), index);
        for key in ["rule", "messageExpression"] {
            let place = paths::field(&path, key);
            match rule.get(key).map(|text| (text, compile_for(text.as_str().unwrap_or_default(), &own))) {
                None if key == "rule" => causes.push(Cause::required(&place, "rule is not specified")),
                None | Some((_, Ok(()))) => {}
                Some((_, Err(problem))) => causes.push(Cause::invalid_go(&place, &go_rule(rule), problem)),
            }
        }
        let reasons =
            ["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"];
        if let Some(reason) = rule.get("reason").filter(|reason| !texts_contain(&reasons, reason)) {
            causes.push(Cause::unsupported(&paths::field(&path, "reason"), reason, reasons.into_iter()));
        }
    }
}

/// A rule as Go writes it.
fn go_rule(rule: &Value) -> String {
    let text = |key: &str| format!("{:?}", rule.get(key).and_then(Value::as_str).unwrap_or_default());
    format!(
        "apiextensions.ValidationRule{{Rule:{}, Message:{}, MessageExpression:{}, \
         Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:{}, OptionalOldSelf:(*bool)(nil)}}",
        text("rule"),
        text("message"),
        text("messageExpression"),
        text("fieldPath")
    )
}

fn texts_contain(known: &[&str], value: &Value) -> bool {
    texts(Some(&Value::Array(vec![value.clone()]))).iter().any(|text| known.contains(&text.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::NoReferences;
    use super::*;

    fn judged(rules: &Value, value: &Value, old: Option<&Value>) -> Vec<String> {
        let schema = json!({"type": "object", "properties": {"spec": {
            "type": "object", "x-kubernetes-validations": rules,
            "properties": {
                "min": {"type": "integer"}, "max": {"type": "integer"}, "name": {"type": "string"},
                "ips": {"type": "array", "items": {"type": "string"}},
                "namespace": {"type": "string"}, "since": {"type": "string", "format": "date-time"},
            },
        }}});
        let schema = Schema::read(&schema, &mut NoReferences);
        let causes = judge(&schema, &json!({"spec": value}), old.map(|old| json!({"spec": old})).as_ref());
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn a_broken_rule_says_its_message() {
        let rules = json!([
            {"rule": "self.min <= self.max", "message": "min must not exceed max"},
            {"rule": "self.name.startsWith('a')"},
            {"rule": "self.max < 9", "messageExpression": "'max is ' + string(self.max)", "fieldPath": ".max",
                "reason": "FieldValueForbidden"},
        ]);
        assert_eq!(judged(&rules, &json!({"min": 1, "max": 2, "name": "ab"}), None), Vec::<String>::new());
        assert_eq!(
            judged(&rules, &json!({"min": 11, "max": 10, "name": "b"}), None),
            [
                r#"spec: Invalid value: "object": min must not exceed max"#,
                r#"spec: Invalid value: "object": failed rule: self.name.startsWith('a')"#,
                "spec.max: Forbidden: max is 10",
            ]
        );
    }

    #[test]
    fn transitions_are_judged_on_change_only() {
        let rules = json!([{"rule": "self.name == oldSelf.name", "message": "name is immutable"}]);
        let (a, b) = (json!({"name": "a"}), json!({"name": "b"}));
        assert_eq!(judged(&rules, &b, None), Vec::<String>::new());
        assert_eq!(judged(&rules, &a, Some(&a)), Vec::<String>::new());
        assert_eq!(judged(&rules, &b, Some(&a)), [r#"spec: Invalid value: "object": name is immutable"#]);
        let optional = json!([{"rule": "!oldSelf.hasValue() || oldSelf.value().name == self.name", "optionalOldSelf": true}]);
        assert_eq!(judged(&optional, &b, None), Vec::<String>::new());
        assert_eq!(judged(&optional, &b, Some(&a)).len(), 1);
    }

    #[test]
    fn the_functions_that_definitions_use_are_there() {
        let value = json!({"min": 1, "max": 3, "name": "a.b", "ips": ["10.0.0.1", "fd00::1"], "namespace": "n",
            "since": "2026-01-01T00:00:00Z"});
        for rule in [
            "self.ips.all(ip, isIP(ip)) && ip(self.ips[0]).family() == 4",
            "cidr('10.0.0.0/8').containsIP(self.ips[0]) && !cidr('10.0.0.0/8').containsIP(self.ips[1])",
            "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && cidr('10.0.0.0/8').prefixLength() == 8",
            "isCIDR('10.0.0.0/8') && !isCIDR('x') && isURL('https://a/b') && !isURL('a')",
            "[1, 2].isSorted() && [1, 2].sum() == 3 && [1, 2].max() == 2 && [1, 2].min() == 1",
            "'abcb'.indexOf('b') == 1 && 'abcb'.lastIndexOf('b') == 3",
            "'abc123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2']",
            "self.name.matches('^[a-z.]+$') && self.name.split('.').size() == 2 && size(self.name) == 3",
            "has(self.name) && !has(self.missing) && self.?missing.orValue('x') == 'x'",
            "self.__namespace__ == 'n' && 'A'.lowerAscii() == 'a' && ' a '.trim() == 'a'",
            "self.since < timestamp('2026-01-02T00:00:00Z') && duration('1h') > duration('1m')",
            "self.ips.exists_one(i, i.startsWith('fd')) && self.ips.map(i, i.size()).size() == 2",
            "self.min in [1, 2] && (self.max > 2 ? true : false) && 'x%d'.format([1]) == 'x1'",
        ] {
            assert_eq!(compile(rule).err(), None, "{rule}");
            assert_eq!(judged(&json!([{"rule": rule}]), &value, None), Vec::<String>::new());
        }
    }

    #[test]
    fn a_rule_about_a_field_that_is_not_there_is_named() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "object", "properties": {"b": {"type": "string"}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"d": {}}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "namespace": {"type": "string"},
        }});
        let schema = Schema::read(&schema, &mut NoReferences);
        for good in [
            "self.a.b == 'x' && has(self.a.b) && self.list.all(item, item.c == self.a.b)",
            "self.map.all(key, self.map[key].d == key) && self.map.x.d == 'x' && self.list[0].c == 'x'",
            "self.free.any.thing == 1 && self.__namespace__ == 'n' && self.metadata.name == 'x'",
            "self.list.map(x, x.c).exists(c, c == 'y') && oldSelf.a.b == self.a.b",
        ] {
            assert_eq!(compile_for(good, &schema), Ok(()), "{good}");
        }
        for bad in
            ["self.nothing == 1", "self.a.nothing", "self.list.all(i, i.nothing == 1)", "self.map.x.nothing"]
        {
            let problem = compile_for(bad, &schema).unwrap_err().to_string();
            assert!(problem.contains("undefined field 'nothing'"), "{problem}");
        }
    }

    #[test]
    fn a_rule_that_does_not_compile_is_named() {
        let mut causes = Vec::new();
        let schema =
            json!({"x-kubernetes-validations": [{"rule": "self.a +"}, {"rule": "nobody(self)"}, {}]});
        problems(&schema, "spec", &mut causes);
        let fields: Vec<_> = causes.iter().map(|cause| cause.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.x-kubernetes-validations[0].rule",
                "spec.x-kubernetes-validations[1].rule",
                "spec.x-kubernetes-validations[2].rule",
            ]
        );
        assert!(causes[1].message.contains("undeclared reference to 'nobody'"), "{}", causes[1].message);
    }
}
