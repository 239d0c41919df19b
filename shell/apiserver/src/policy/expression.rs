//! Expressions of policies: what they may name, and what is refused before it can do harm.

use cel::common::ast::{EntryExpr, Expr};
use cel::{IdedExpr, Program};
use serde_json::Value;

use super::authorizer;
use crate::schema::rules;

/// What expressions may name, beside functions.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The variables of the policy so far.
    pub(super) variables: Vec<String>,
    /// Whether there are parameters.
    parameters: bool,
}

impl Known {
    /// What the expressions of a policy's spec may name before its variables are read.
    pub(super) fn of(spec: &Value) -> Self {
        Self { variables: Vec::new(), parameters: spec["paramKind"].is_object() }
    }
}

const ROOTS: [&str; 6] = ["object", "oldObject", "request", "namespaceObject", "variables", "authorizer"];
/// The fields of `request`.
const REQUEST: [&str; 13] = [
    "uid",
    "kind",
    "resource",
    "subResource",
    "requestKind",
    "requestResource",
    "requestSubResource",
    "name",
    "namespace",
    "operation",
    "userInfo",
    "dryRun",
    "options",
];

/// Compiles an expression; what it names must be known.
pub(super) fn compile(text: &str, known: &Known) -> Result<Program, String> {
    if text.trim().is_empty() {
        return Err("compilation failed: an expression must not be empty".to_owned());
    }
    let program = rules::compile_with(text, &authorizer::FUNCTIONS).map_err(|problem| problem.to_string())?;
    let mut names = Names::default();
    names.walk(program.expression(), &mut Vec::new());
    for root in &names.roots {
        let allowed = ROOTS.contains(&root.as_str()) || (root == "params" && known.parameters);
        if !allowed {
            return Err(format!("compilation failed: undeclared reference to '{root}' (in container '')"));
        }
    }
    for (root, field) in &names.fields {
        let unknown = match root.as_str() {
            "variables" => !known.variables.contains(field),
            "request" => !REQUEST.contains(&field.as_str()),
            "authorizer" => {
                return Err(format!(
                    "authorizer.{field} is not supported; ask by authorizer.group(…).resource(…)"
                ));
            }
            _ => false,
        };
        if unknown {
            return Err(format!("compilation failed: undefined field '{field}'"));
        }
    }
    Ok(program)
}

/// The names that an expression does not bind itself.
#[derive(Debug, Default)]
struct Names {
    roots: Vec<String>,
    /// Fields of such names.
    fields: Vec<(String, String)>,
}

impl Names {
    fn walk(&mut self, expression: &IdedExpr, bound: &mut Vec<String>) {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                if !name.starts_with('@') && !bound.contains(name) && !is_type(name) {
                    self.roots.push(name.clone());
                }
            }
            Expr::Select(select) => {
                if let Expr::Ident(root) = &select.operand.expr
                    && !bound.contains(root)
                {
                    self.fields.push((root.clone(), select.field.clone()));
                }
                self.walk(&select.operand, bound);
            }
            Expr::Call(call) => {
                // `optional.of` is written as a call on a name that stands for nothing.
                let target = call.target.as_deref();
                let target = target.filter(|target| target.expr != Expr::Ident("optional".to_owned()));
                target.into_iter().chain(&call.args).for_each(|part| self.walk(part, bound));
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element, bound)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr, bound)),
            Expr::Struct(object) => object.entries.iter().for_each(|entry| self.entry(&entry.expr, bound)),
            Expr::Comprehension(loop_) => {
                self.walk(&loop_.iter_range, bound);
                self.walk(&loop_.accu_init, bound);
                let outside = bound.len();
                bound.extend([loop_.iter_var.clone(), loop_.accu_var.clone()]);
                bound.extend(loop_.iter_var2.clone());
                self.walk(&loop_.loop_cond, bound);
                self.walk(&loop_.loop_step, bound);
                self.walk(&loop_.result, bound);
                bound.truncate(outside);
            }
        }
    }

    fn entry(&mut self, entry: &EntryExpr, bound: &mut Vec<String>) {
        match entry {
            EntryExpr::StructField(field) => self.walk(&field.value, bound),
            EntryExpr::MapEntry(entry) => {
                self.walk(&entry.key, bound);
                self.walk(&entry.value, bound);
            }
        }
    }
}

/// The names of types, as `type(x) == string` compares them.
fn is_type(name: &str) -> bool {
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"].contains(&name)
}
