//! `pkg owner PATH..`.

use std::path::{Path, PathBuf};

use installdb::Installed;
use pkgtypes::PkgPath;
use serde_json::json;

use crate::failure::Failure;
use crate::options::Asked;
use crate::render::{self, Voice};
use crate::{exit, places};

/// Which paths.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths, as they are seen from the root, or below the root's own path.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    asked: Asked,
}

/// Names the packages that own paths; exit code 5 when one belongs to none.
///
/// # Errors
/// A database that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let db = Installed::open(&args.asked.root)?;
    let mut documents = Vec::new();
    let mut code = exit::DONE;
    for path in &args.paths {
        let inside = inside(&args.asked.root, path)?;
        let owners = db.owners(&inside)?;
        if owners.is_empty() {
            code = exit::UNKNOWN;
            voice.error(format_args!("no package owns `/{inside}`"));
        }
        if args.asked.json {
            let names: Vec<&str> = owners.iter().map(AsRef::as_ref).collect();
            documents.push(json!({ "path": format!("/{inside}"), "packages": names }));
        } else {
            owners.iter().try_for_each(|owner| render::data(format_args!("{owner} /{inside}")))?;
        }
    }
    if args.asked.json {
        render::json(&json!({ "format_version": 1, "owners": documents }))?;
    }
    Ok(code)
}

/// A path inside the root, however it was written.
pub(super) fn inside(root: &Path, path: &Path) -> anyhow::Result<PkgPath> {
    let root = places::absolute(root)?;
    let relative = match places::absolute(path)?.strip_prefix(&root) {
        Ok(relative) => relative.to_owned(),
        Err(_) => path.strip_prefix("/").unwrap_or(path).to_owned(),
    };
    let plain: PathBuf = relative.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    PkgPath::from_os(plain).map_err(|error| Failure::new(exit::USAGE, error.to_string()).into())
}
