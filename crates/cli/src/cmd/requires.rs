//! `pkg requires GLOB..`.

use installdb::Installed;
use pkgtypes::PackageName;
use serde_json::{Value, json};

use crate::options::Asked;
use crate::render::{self, Voice};
use crate::{exit, patterns};

/// Of which packages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patterns that names of installed packages fit (`*`, `?`, `[..]`).
    #[arg(required = true, value_name = "GLOB")]
    patterns: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Lists what packages require.
///
/// # Errors
/// A package that is not installed.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    tell(&args.patterns, &args.asked, "requires", |db, name| {
        let record = db.record(name)?;
        let meta = record.meta();
        Ok(meta.requires.iter().map(ToString::to_string).chain(meta.tied.iter().map(ToString::to_string)).collect())
    })
}

/// Prints a list for each package: the lines themselves, or one JSON document.
pub(super) fn tell(
    patterns: &[String],
    asked: &Asked,
    what: &str,
    list: impl Fn(&Installed, &PackageName) -> installdb::Result<Vec<String>>,
) -> anyhow::Result<u8> {
    let db = Installed::open(&asked.root)?;
    let mut documents = Vec::new();
    for name in patterns::names(&db, patterns)? {
        let lines = list(&db, &name)?;
        if asked.json {
            let mut document = json!({ "name": name.as_str() });
            document[what] = Value::from(lines);
            documents.push(document);
        } else {
            lines.iter().try_for_each(render::data)?;
        }
    }
    if asked.json {
        render::json(&json!({ "format_version": 1, "packages": documents }))?;
    }
    Ok(exit::DONE)
}
