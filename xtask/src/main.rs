//! The project's chores: `cargo xtask WORD`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "a chore keeps its scratch folders itself")]

mod arrows;
mod recipes;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask WORD

  arrows                      hold the import table of ARCHITECTURE.md against the crates' manifests
  recipes CACHE [NAME..]      build, install and run the real recipes, caches in CACHE";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["arrows"] => arrows::check(),
        ["recipes", cache, names @ ..] => recipes::prove(Path::new(cache), names),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
