//! Devices in one memory, with a clock and an air of our own.

mod configuration;
mod faults;
mod hostile;
mod roaming;
mod sessions;
mod timers;
mod world;
