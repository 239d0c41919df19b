//! Runs the benches.

fn main() -> std::process::ExitCode {
    subm_bench::main()
}
