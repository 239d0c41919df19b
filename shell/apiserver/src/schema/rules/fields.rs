//! Fields that a rule names although its schema has none of that name, as the compiler of Kubernetes finds them.

use cel::common::ast::operators::INDEX;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::super::{Schema, Type};
use super::escaped;

/// What is known of the values of variables.
type Scope<'s> = Vec<(String, Option<&'s Schema>)>;

/// The first field that a rule names in vain.
pub(super) fn undefined(rule: &IdedExpr, schema: &Schema) -> Option<String> {
    let mut scope = vec![("self".to_owned(), Some(schema)), ("oldSelf".to_owned(), Some(schema))];
    infer(rule, &mut scope).err()
}

/// The schema of what an expression yields, where that is known; the error is a field that does not exist.
fn infer<'s>(expression: &IdedExpr, scope: &mut Scope<'s>) -> Result<Option<&'s Schema>, String> {
    match &expression.expr {
        Expr::Ident(name) => {
            Ok(scope.iter().rev().find(|(known, _)| known == name).and_then(|(_, schema)| *schema))
        }
        Expr::Select(select) => match infer(&select.operand, scope)? {
            Some(schema) => field(schema, &select.field),
            None => Ok(None),
        },
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &**target);
            let mut first = None;
            for (index, argument) in target.chain(&call.args).enumerate() {
                let found = infer(argument, scope)?;
                first = if index == 0 { found } else { first };
            }
            Ok(first.filter(|_| call.func_name == INDEX).and_then(element))
        }
        Expr::Comprehension(loops) => {
            let range = infer(&loops.iter_range, scope)?;
            let depth = scope.len();
            scope.push((loops.accu_var.clone(), None));
            // Over a list the variable is the element, over a map the key.
            let item = range.filter(|schema| schema.form == Type::Array).and_then(element);
            let pairs = loops.iter_var2.is_some();
            scope.push((loops.iter_var.clone(), item.filter(|_| !pairs)));
            scope.extend(loops.iter_var2.clone().map(|name| (name, range.and_then(element))));
            let parts = [&loops.accu_init, &loops.loop_cond, &loops.loop_step, &loops.result];
            let inferred = parts.into_iter().try_for_each(|part| infer(part, scope).map(drop));
            scope.truncate(depth);
            inferred.map(|()| None)
        }
        Expr::List(list) => all(list.elements.iter().collect(), scope),
        Expr::Map(map) => all(map.entries.iter().flat_map(|entry| values(&entry.expr)).collect(), scope),
        Expr::Struct(object) => {
            all(object.entries.iter().flat_map(|entry| values(&entry.expr)).collect(), scope)
        }
        Expr::Unspecified | Expr::Literal(_) => Ok(None),
    }
}

fn all<'s>(expressions: Vec<&IdedExpr>, scope: &mut Scope<'s>) -> Result<Option<&'s Schema>, String> {
    expressions.into_iter().try_for_each(|expression| infer(expression, scope).map(drop)).map(|()| None)
}

fn values(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

fn element(schema: &Schema) -> Option<&Schema> {
    schema.items.as_deref().or(schema.values.as_deref())
}

fn field<'s>(schema: &'s Schema, name: &str) -> Result<Option<&'s Schema>, String> {
    if let Some(values) = &schema.values {
        return Ok(Some(values));
    }
    let declared = schema.properties.iter().find(|(known, _)| escaped(known) == name);
    if let Some((_, below)) = declared {
        return Ok(Some(below));
    }
    let whole = schema.embedded || ["apiVersion", "kind", "metadata"].contains(&name);
    if schema.form != Type::Object || schema.keeps_unknown || whole {
        return Ok(None);
    }
    Err(name.to_owned())
}
