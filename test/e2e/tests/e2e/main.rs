//! The programs as a user meets them.

mod bad_input;
mod life_cycle;
mod restored;
mod wires;
