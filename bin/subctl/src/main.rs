//! The subctl program.
fn main() {}
