//! The subctl program: `playground` is a program of its own, everything else is subctl's.

use std::process::ExitCode;

fn main() -> ExitCode {
    let playground = std::env::args_os().nth(1).is_some_and(|word| word == "playground");
    let run = if playground { submariner_playground::run } else { submariner_subctl::run };
    run(std::env::args_os())
}
