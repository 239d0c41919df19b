//! `authorizer`: expressions may ask what the user of a request may do.

use std::sync::Arc;

use cel::extractors::This;
use cel::objects::Opaque;
use cel::{Context, ExecutionError, Value};

use super::Attempt;
use crate::access::{Action, Authoriser, User};

/// The functions that expressions may call on it.
pub(super) const FUNCTIONS: [&str; 11] = [
    "path",
    "group",
    "serviceAccount",
    "resource",
    "subresource",
    "namespace",
    "name",
    "check",
    "allowed",
    "reason",
    "errored",
];

/// A question as far as it was asked.
#[derive(Debug, Clone)]
struct Question {
    user: Arc<User>,
    authoriser: Authoriser,
    about: About,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum About {
    #[default]
    Nothing,
    Path(String),
    Group(String),
    Resource {
        group: String,
        plural: String,
        subresource: String,
        namespace: String,
        name: String,
    },
}

/// The answer: the reason where it is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision(Option<String>);

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user && self.about == other.about
    }
}

impl Eq for Question {}

impl Opaque for Question {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.authorization.Authorizer"
    }
}

impl Opaque for Decision {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.authorization.Decision"
    }
}

type Answer = Result<Value, ExecutionError>;
type Receiver = This<Arc<dyn Opaque>>;

/// The value of the variable.
pub(super) fn value(attempt: &Attempt<'_>) -> Value {
    Value::Opaque(Arc::new(Question {
        user: Arc::new(attempt.user.clone()),
        authoriser: attempt.authoriser.clone(),
        about: About::Nothing,
    }))
}

/// Makes the functions callable.
pub(super) fn declare(context: &mut Context<'_, '_>) {
    let added = [
        context.add_function("path", |This(on): Receiver, path: Arc<String>| {
            ask(&*on, "path", |about| (*about == About::Nothing).then(|| About::Path(path.to_string())))
        }),
        context.add_function("group", |This(on): Receiver, group: Arc<String>| {
            ask(&*on, "group", |about| (*about == About::Nothing).then(|| About::Group(group.to_string())))
        }),
        context.add_function(
            "serviceAccount",
            |This(on): Receiver, namespace: Arc<String>, name: Arc<String>| account(&*on, &namespace, &name),
        ),
        context.add_function("resource", |This(on): Receiver, plural: Arc<String>| {
            ask(&*on, "resource", |about| match about {
                About::Group(group) => Some(About::Resource {
                    group: group.clone(),
                    plural: plural.to_string(),
                    subresource: String::new(),
                    namespace: String::new(),
                    name: String::new(),
                }),
                About::Nothing | About::Path(_) | About::Resource { .. } => None,
            })
        }),
        context.add_function("subresource", |This(on): Receiver, text: Arc<String>| {
            narrow(&*on, "subresource", |about| {
                if let About::Resource { subresource, .. } = about {
                    Some((subresource, text.to_string()))
                } else {
                    None
                }
            })
        }),
        context.add_function("namespace", |This(on): Receiver, text: Arc<String>| {
            narrow(&*on, "namespace", |about| {
                if let About::Resource { namespace, .. } = about {
                    Some((namespace, text.to_string()))
                } else {
                    None
                }
            })
        }),
        context.add_function("name", |This(on): Receiver, text: Arc<String>| {
            narrow(&*on, "name", |about| {
                if let About::Resource { name, .. } = about { Some((name, text.to_string())) } else { None }
            })
        }),
        context.add_function("check", |This(on): Receiver, verb: Arc<String>| check(&*on, &verb)),
        context.add_function("allowed", |This(on): Receiver| {
            decided(&*on, "allowed", |decision| Value::Bool(decision.0.is_some()))
        }),
        context.add_function("reason", |This(on): Receiver| {
            decided(&*on, "reason", |decision| text(decision.0.clone().unwrap_or_default()))
        }),
        // A question is answered from what is in memory, which cannot fail.
        context
            .add_function("errored", |This(on): Receiver| decided(&*on, "errored", |_| Value::Bool(false))),
    ];
    debug_assert!(added.iter().all(Result::is_ok), "{added:?}");
}

fn text(text: String) -> Value {
    Value::String(Arc::new(text))
}

fn wrong(function: &str) -> ExecutionError {
    ExecutionError::function_error(function, "it cannot be called here")
}

fn question<'a>(on: &'a dyn Opaque, function: &str) -> Result<&'a Question, ExecutionError> {
    on.downcast_ref::<Question>().ok_or_else(|| wrong(function))
}

/// The question with more of it asked.
fn ask(on: &dyn Opaque, function: &str, next: impl FnOnce(&About) -> Option<About>) -> Answer {
    let question = question(on, function)?;
    let about = next(&question.about).ok_or_else(|| wrong(function))?;
    Ok(Value::Opaque(Arc::new(Question { about, ..question.clone() })))
}

fn narrow(
    on: &dyn Opaque,
    function: &str,
    set: impl FnOnce(&mut About) -> Option<(&mut String, String)>,
) -> Answer {
    let mut question = question(on, function)?.clone();
    let (place, value) = set(&mut question.about).ok_or_else(|| wrong(function))?;
    *place = value;
    Ok(Value::Opaque(Arc::new(question)))
}

/// The same question for a ServiceAccount.
fn account(on: &dyn Opaque, namespace: &str, name: &str) -> Answer {
    let question = question(on, "serviceAccount")?;
    let user = User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        ..User::default()
    };
    Ok(Value::Opaque(Arc::new(Question { user: Arc::new(user), ..question.clone() })))
}

fn check(on: &dyn Opaque, verb: &str) -> Answer {
    let Question { user, authoriser, about } = question(on, "check")?;
    let reason = match about {
        About::Nothing | About::Group(_) => return Err(wrong("check")),
        About::Path(path) => authoriser.allows_path(user, verb, path),
        About::Resource { group, plural, subresource, namespace, name } => {
            authoriser.allows(user, &Action { verb, group, plural, subresource, namespace, name })
        }
    };
    Ok(Value::Opaque(Arc::new(Decision(reason.map(str::to_owned)))))
}

fn decided(on: &dyn Opaque, function: &str, tell: impl FnOnce(&Decision) -> Value) -> Answer {
    on.downcast_ref::<Decision>().map(tell).ok_or_else(|| wrong(function))
}
