//! `pkg sandbox` as a program of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let start = sandbox::HeadStart::begin(&cli::cmd::sandbox::likely(&words));
    cli::alone("sandbox", |args, voice| cli::cmd::sandbox::run_after(Some(start), args, voice))
}
