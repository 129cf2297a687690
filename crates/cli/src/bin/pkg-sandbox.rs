//! `pkg sandbox` as a program of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    let start = sandbox::HeadStart::begin();
    cli::alone("sandbox", |args, voice| cli::cmd::sandbox::run_after(start, args, voice))
}
