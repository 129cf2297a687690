//! `pkg install` as a program of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    cli::alone("install", cli::cmd::install::run)
}
