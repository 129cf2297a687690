//! `pkg build` under a name of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    cli::main(Some("build"))
}
