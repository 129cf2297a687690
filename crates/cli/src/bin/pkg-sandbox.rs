//! `pkg sandbox` as a program of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    cli::alone("sandbox", cli::cmd::sandbox::run)
}
