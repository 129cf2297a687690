//! `pkg what-requires CAPABILITY..`.

use installdb::Installed;
use pkgtypes::PackageName;
use serde_json::json;

use crate::exit;
use crate::options::Asked;
use crate::render::{self, Voice};

/// Of what.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of packages, or capabilities: so:libz.so.1(64bit), cmd:gcc, file:/usr/bin/sh.
    #[arg(required = true, value_name = "CAPABILITY")]
    capabilities: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Names the packages that require something; exit code 5 when none does.
///
/// # Errors
/// A database that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    tell(&args.capabilities, &args.asked, voice, "requires", Installed::what_requires)
}

/// Prints the packages that have to do with each capability.
pub(super) fn tell(
    capabilities: &[String],
    asked: &Asked,
    voice: &Voice,
    what: &str,
    find: impl Fn(&Installed, &str) -> installdb::Result<Vec<PackageName>>,
) -> anyhow::Result<u8> {
    let db = Installed::open(&asked.root)?;
    let mut documents = Vec::new();
    let mut code = exit::DONE;
    for capability in capabilities {
        let names = find(&db, capability)?;
        if names.is_empty() {
            code = exit::UNKNOWN;
            voice.error(format_args!("no installed package {what} `{capability}`"));
        }
        if asked.json {
            let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            documents.push(json!({ "capability": capability, "packages": names }));
        } else {
            names.iter().try_for_each(render::data)?;
        }
    }
    if asked.json {
        render::json(&json!({ "format_version": 1, "capabilities": documents }))?;
    }
    Ok(code)
}
