//! The submariner program.
fn main() {}
