//! What is wrong with one input, as data beside the result.

use std::fmt;

/// Something that a plan had to leave out, and why. The rest of the plan stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// A CamelCase word for conditions, events and metrics: `OverlappingCIDR`.
    pub reason: &'static str,
    /// The object: `Endpoint west-submariner-cable-west-10-2-0-1`.
    pub object: String,
    /// The field of the object, as its manifest names it; empty when the whole object is meant.
    pub field: String,
    /// What is wrong, with the values that are.
    pub what: String,
    /// What a person can do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.object)?;
        if !self.field.is_empty() {
            write!(f, " field {}", self.field)?;
        }
        write!(f, ": {}; {}", self.what, self.remedy)
    }
}

/// A result, and what had to be left out of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned<T> {
    /// What could be planned.
    pub value: T,
    /// What could not, in a stable order.
    pub problems: Vec<Problem>,
}
