//! `pkg info GLOB..`.

use installdb::{Installed, NotGiven, Package};
use pkgformat::PackageRecord;
use serde_json::{Value, json};

use crate::cmd::list;
use crate::options::Asked;
use crate::render::{self, Voice};
use crate::{exit, not_given, patterns};

/// Which packages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patterns that names of installed packages fit (`*`, `?`, `[..]`).
    #[arg(required = true, value_name = "GLOB")]
    patterns: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Shows all that is known of installed packages.
///
/// # Errors
/// A package that is not installed; a database that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let db = Installed::open(&args.asked.root)?;
    let mut found = Vec::new();
    for name in patterns::names(&db, &args.patterns)? {
        let record = db.record(&name)?;
        let package = db.package(&name)?.ok_or_else(|| installdb::Error::NotInstalled { name: name.clone() })?;
        let lacking = db.not_given(&[name])?;
        found.push((package, record, lacking));
    }
    if args.asked.json {
        let list: Vec<Value> =
            found.iter().map(|(package, record, lacking)| document(package, record, lacking)).collect();
        render::json(&json!({ "format_version": 1, "packages": list }))?;
        return Ok(exit::DONE);
    }
    for (index, (package, record, lacking)) in found.iter().enumerate() {
        if index > 0 {
            render::data("")?;
        }
        render::raw(text(package, record, lacking).as_bytes())?;
        not_given::detail(lacking, voice);
    }
    Ok(exit::DONE)
}

fn text(package: &Package, record: &PackageRecord, lacking: &[NotGiven]) -> String {
    let meta = record.meta();
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        if !value.is_empty() {
            text.push_str(&format!("{label:<12} {value}\n"));
        }
    };
    line("name", package.name.to_string());
    line("version", format!("{}-{}", package.version, package.release));
    line("arch", package.arch.to_string());
    line("summary", package.summary.clone());
    line("url", meta.url.clone().unwrap_or_default());
    line("license", meta.licenses.join(", "));
    line("size", render::size(package.size));
    line("files", record.manifest().entries().len().to_string());
    line("id", package.id.to_string());
    line("installed", package.installed.to_utc().unwrap_or_default());
    line("wanted", if package.wanted { "yes".to_owned() } else { "no, another package needs it".to_owned() });
    line("transaction", package.txn.to_string());
    line("not given", not_given::counts(lacking));
    meta.requires.iter().for_each(|requirement| line("requires", requirement.to_string()));
    meta.provides.iter().for_each(|offer| line("provides", offer.to_string()));
    meta.conflicts.iter().for_each(|relation| line("conflicts", relation.to_string()));
    text
}

fn document(package: &Package, record: &PackageRecord, lacking: &[NotGiven]) -> Value {
    let meta = record.meta();
    let mut value = list::describe(package);
    value["description"] = meta.description.clone().into();
    value["url"] = meta.url.clone().into();
    value["licenses"] = meta.licenses.clone().into();
    value["files"] = record.manifest().entries().len().into();
    value["not_given"] = not_given::document(lacking);
    value["requires"] = meta.requires.iter().map(ToString::to_string).collect();
    value["provides"] = meta.provides.iter().map(ToString::to_string).collect();
    value["conflicts"] = meta.conflicts.iter().map(ToString::to_string).collect();
    value
}
