//! `pkg build` as a program of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    cli::alone("build", cli::cmd::build::run)
}
