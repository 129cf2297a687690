//! `pkg`, for the tests of this package.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    cli::main()
}
