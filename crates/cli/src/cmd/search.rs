//! `pkg search WORD..`.

use installdb::Installed;
use serde_json::{Value, json};

use super::list::describe;
use crate::exit;
use crate::options::Asked;
use crate::render::{self, Voice};

/// For what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Words, or patterns (`*`, `?`, `[..]`), all of which stand in a package's name or description.
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Searches the names and descriptions of installed packages; exit code 5 when nothing is found.
///
/// # Errors
/// A database that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let packages = Installed::open(&args.asked.root)?.search(&words)?;
    if args.asked.json {
        let list: Vec<Value> = packages.iter().map(describe).collect();
        render::json(&json!({ "format_version": 1, "packages": list }))?;
    } else {
        for package in &packages {
            let line = format!("{} {}-{}  {}", package.name, package.version, package.release, package.summary);
            render::data(line.trim_end())?;
        }
    }
    if packages.is_empty() {
        voice.error(format_args!(
            "no installed package has `{}` in its name or description",
            args.words.join("` and `")
        ));
        return Ok(exit::UNKNOWN);
    }
    Ok(exit::DONE)
}
