//! Admission policies: rules in the Common Expression Language that every write must fulfil
//! (`ValidatingAdmissionPolicy` and its bindings, KEP-3488).
//!
//! What the server itself does in consequence of a write (garbage collection, emptying of namespaces) is not asked.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::access::{Authoriser, User};
use crate::kinds::KindId;
use crate::refusal::Refusal;
use crate::store::{Place, Store};

mod authorizer;
mod decision;
mod expression;
mod matching;
mod parameters;
mod problems;
mod read;

pub(crate) use problems::{check, complete, complete_binding};
pub(crate) use read::Policies;

const GROUP: &str = "admissionregistration.k8s.io";

/// A write that policies judge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) store: &'a Store,
    pub(crate) place: &'a Place,
    /// None at creation.
    pub(crate) old: Option<&'a Value>,
    /// None at deletion.
    pub(crate) new: Option<&'a Value>,
    pub(crate) user: &'a User,
    pub(crate) authoriser: &'a Authoriser,
    /// The options of the request.
    pub(crate) options: &'a Value,
}

impl Attempt<'_> {
    fn operation(&self) -> &'static str {
        match (self.old, self.new) {
            (None, _) => "CREATE",
            (Some(_), Some(_)) => "UPDATE",
            (Some(_), None) => "DELETE",
        }
    }

    /// The Namespace of the object.
    fn namespace(&self) -> Option<Value> {
        let namespace = self.store.get(KindId::namespaces(), "", &self.place.namespace);
        namespace.map(|namespace| namespace.value())
    }
}

/// What policies say beside yes and no.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Remarks>);

#[derive(Debug, Default)]
pub(crate) struct Remarks {
    /// For the client.
    pub(crate) warnings: Vec<String>,
    /// For the audit log.
    pub(crate) annotations: Vec<(String, String)>,
    failures: Vec<Value>,
}

/// Where failures that are only audited are written.
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

impl Told {
    fn with<T>(&self, change: impl FnOnce(&mut Remarks) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything that was said.
    pub(crate) fn take(&self) -> Remarks {
        let mut remarks = self.with(std::mem::take);
        if !remarks.failures.is_empty() {
            let failures = Value::Array(std::mem::take(&mut remarks.failures)).to_string();
            remarks.annotations.push((FAILURES.to_owned(), failures));
        }
        remarks
    }

    fn failed(&self, failure: Value) {
        self.with(|remarks| remarks.failures.push(failure));
    }

    fn warn(&self, warning: String) {
        self.with(|remarks| remarks.warnings.push(warning));
    }

    fn annotate(&self, key: String, value: String) {
        self.with(|remarks| remarks.annotations.push((key, value)));
    }
}

/// Whether a kind is beyond policies: whoever locks everybody out must be able to repair that.
fn is_exempt(kind: KindId) -> bool {
    kind.group == GROUP
}

/// What the status of a policy says once it was read.
pub(crate) fn status_of(policy: &Value) -> Value {
    json!({"status": {"observedGeneration": policy["metadata"]["generation"], "typeChecking": {}}})
}

/// Judges a write by every policy.
pub(crate) fn judge(policies: &Policies, attempt: &Attempt<'_>, told: &Told) -> Result<(), Refusal> {
    if policies.is_empty() || is_exempt(attempt.place.kind) {
        return Ok(());
    }
    policies.iter().try_for_each(|policy| decision::judge(policy, attempt, told))
}

#[cfg(test)]
mod tests;
