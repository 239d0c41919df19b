//! The owner's packet-filter table: written in one transaction, read back into the plan's own words.

mod decode;
mod encode;
mod operation;
mod table;

pub(crate) use table::{TableRecord, change_elements, delete, generation, read, replace};
