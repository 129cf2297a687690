//! `pkg requires NAME..`.

use installdb::Installed;
use pkgtypes::PackageName;
use serde_json::{Value, json};

use crate::exit;
use crate::options::Asked;
use crate::render::{self, Voice};

/// Of which packages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Installed packages.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<PackageName>,
    #[command(flatten)]
    asked: Asked,
}

/// Lists what packages require.
///
/// # Errors
/// A package that is not installed.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    tell(&args.names, &args.asked, "requires", |db, name| {
        let record = db.record(name)?;
        let meta = record.meta();
        Ok(meta.requires.iter().map(ToString::to_string).chain(meta.tied.iter().map(ToString::to_string)).collect())
    })
}

/// Prints a list for each package: the lines themselves, or one JSON document.
pub(super) fn tell(
    names: &[PackageName],
    asked: &Asked,
    what: &str,
    list: impl Fn(&Installed, &PackageName) -> installdb::Result<Vec<String>>,
) -> anyhow::Result<u8> {
    let db = Installed::open(&asked.root)?;
    let mut documents = Vec::new();
    for name in names {
        let lines = list(&db, name)?;
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
