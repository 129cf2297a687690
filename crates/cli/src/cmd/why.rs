//! `pkg why GLOB..`.

use installdb::Installed;
use serde_json::{Value, json};

use crate::options::Asked;
use crate::render::{self, Voice};
use crate::{exit, patterns};

/// Why what is there.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patterns that names of installed packages fit (`*`, `?`, `[..]`).
    #[arg(required = true, value_name = "GLOB")]
    patterns: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Shows how something that the user asked for leads to each package: a chain, each line requiring the next, with an empty
/// line between two chains. Exit code 5 when to one of them nothing does.
///
/// # Errors
/// The package is not installed.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let db = Installed::open(&args.asked.root)?;
    let mut documents: Vec<Value> = Vec::new();
    let mut is_first = true;
    let mut code = exit::DONE;
    for name in patterns::names(&db, &args.patterns)? {
        let chain = db.why(&name)?;
        if args.asked.json {
            let names: Vec<&str> = chain.iter().map(AsRef::as_ref).collect();
            documents.push(json!({ "name": name.as_str(), "chain": names }));
        } else if !chain.is_empty() {
            if !std::mem::take(&mut is_first) {
                render::data("")?;
            }
            chain.iter().try_for_each(render::data)?;
        }
        if chain.is_empty() {
            voice.error(format_args!("nothing that was asked for requires `{name}`"));
            code = exit::UNKNOWN;
        }
    }
    if args.asked.json {
        render::json(&json!({ "format_version": 1, "packages": documents }))?;
    }
    Ok(code)
}
