//! `pkg list [GLOB..]`.

use installdb::{Installed, Package, PastPackage};
use serde_json::{Value, json};

use crate::exit;
use crate::options::Asked;
use crate::render::{self, Voice};

/// What to list.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patterns that names fit (`*`, `?`, `[..]`); without one, all packages.
    #[arg(value_name = "GLOB")]
    patterns: Vec<String>,
    /// List what was installed after this transaction (0: before the first).
    #[arg(long, value_name = "ID")]
    at: Option<i64>,
    #[command(flatten)]
    asked: Asked,
}

/// Lists installed packages; exit code 5 when no name fits one of the patterns.
///
/// # Errors
/// No database, or one that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let patterns: Vec<&str> = args.patterns.iter().map(String::as_str).collect();
    let db = Installed::open(&args.asked.root)?;
    if let Some(txn) = args.at {
        list_past(&db.packages_at(txn, &patterns)?, args)?;
        return conclude(&patterns, |pattern| Ok(db.packages_at(txn, &[pattern])?.is_empty()), voice);
    }
    list_present(&db.list(&patterns)?, args)?;
    conclude(&patterns, |pattern| Ok(db.list(&[pattern])?.is_empty()), voice)
}

fn list_present(packages: &[Package], args: &Args) -> anyhow::Result<()> {
    if args.asked.json {
        let list: Vec<Value> = packages.iter().map(describe).collect();
        render::json(&json!({ "format_version": 1, "packages": list }))?;
    } else {
        for package in packages {
            render::data(format_args!("{} {}-{} {}", package.name, package.version, package.release, package.arch))?;
        }
    }
    Ok(())
}

fn list_past(packages: &[PastPackage], args: &Args) -> anyhow::Result<()> {
    if args.asked.json {
        let list: Vec<Value> = packages.iter().map(describe_past).collect();
        render::json(&json!({ "format_version": 1, "at": args.at, "packages": list }))?;
    } else {
        for PastPackage { name, version, release, arch, .. } in packages {
            render::data(format_args!("{name} {version}-{release} {arch}"))?;
        }
    }
    Ok(())
}

/// Says which patterns no name fits.
fn conclude(patterns: &[&str], fits_none: impl Fn(&str) -> anyhow::Result<bool>, voice: &Voice) -> anyhow::Result<u8> {
    let mut unknown = Vec::new();
    for pattern in patterns {
        if fits_none(pattern)? {
            unknown.push(*pattern);
        }
    }
    if unknown.is_empty() {
        return Ok(exit::DONE);
    }
    voice.error(format_args!("no package has a name like `{}`", unknown.join("` or `")));
    Ok(exit::UNKNOWN)
}

fn describe_past(package: &PastPackage) -> Value {
    json!({
        "name": package.name.as_str(),
        "version": package.version.to_string(),
        "release": package.release.0,
        "arch": package.arch.as_str(),
        "id": package.id.to_string(),
        "wanted": package.wanted,
        "transaction": package.txn,
    })
}

/// A package as JSON.
pub fn describe(package: &Package) -> Value {
    json!({
        "name": package.name.as_str(),
        "version": package.version.to_string(),
        "release": package.release.0,
        "arch": package.arch.as_str(),
        "id": package.id.to_string(),
        "summary": package.summary,
        "size": package.size,
        "installed": package.installed.to_utc(),
        "wanted": package.wanted,
        "transaction": package.txn,
    })
}
