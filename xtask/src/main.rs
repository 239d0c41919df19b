//! What CI runs, and the checks that keep the tree true.
fn main() {}
