//! The project's chores: `cargo xtask WORD`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person who runs it")]
#![expect(clippy::disallowed_methods, reason = "a chore keeps its scratch folders itself")]

mod arrows;
mod convert;
mod order;
mod recipes;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask WORD

  arrows                      hold the import table of ARCHITECTURE.md against the crates' manifests
  convert DIR [--limit N]     convert the packages in DIR and compare with what their own tools unpack
  convert --fetch N DIR       the same with N packages that apt brings into DIR
  order PKG                   write down in which order PKG, a release build, uses its functions (by root)
  recipes CACHE [NAME..]      build, install and run the real recipes, caches in CACHE";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["arrows"] => arrows::check(),
        ["convert", "--fetch", count, dir] => fetch_and_convert(count, Path::new(dir)),
        ["convert", dir] => convert::compare(Path::new(dir), usize::MAX),
        ["convert", dir, "--limit", limit] => number(limit).and_then(|limit| convert::compare(Path::new(dir), limit)),
        ["order", pkg] => order::write(Path::new(pkg)),
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

fn number(text: &str) -> anyhow::Result<usize> {
    text.parse().map_err(|_| anyhow::anyhow!("`{text}` is no number"))
}

/// Where apt brings nothing there is nothing to compare, which is no failure.
fn fetch_and_convert(count: &str, dir: &Path) -> anyhow::Result<()> {
    if convert::fetch(dir, number(count)?)? {
        convert::compare(dir, usize::MAX)
    } else {
        println!("skipped: apt brings no package here");
        Ok(())
    }
}
