//! `pkg owner PATH..`.

use std::path::{Path, PathBuf};

use installdb::Installed;
use pkgtypes::{PackageName, PkgPath};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::options::Asked;
use crate::render::{self, Voice};
use crate::{exit, places};

/// Which paths.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths, as they are seen from the root, or below the root's own path. One that no package owns is taken for a pattern
    /// (`*`, `?`, `[..]`; none of them minds a slash). Symbolic links on the way to one are followed.
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
        let Some(inside) = within(&args.asked.root, path)? else {
            // The root's top comes with no package.
            code = exit::UNKNOWN;
            voice.error("no package owns `/`");
            documents.extend(args.asked.json.then(|| json!({ "path": "/", "packages": [] })));
            continue;
        };
        let owned = owned(&db, &inside)?;
        if owned.is_empty() {
            code = exit::UNKNOWN;
            voice.error(format_args!("no package owns `/{inside}`"));
            if path.components().count() == 1 && path.is_relative() {
                voice.hint(format_args!("`*/{}` is looked for in all folders", path.display()));
            }
        }
        if args.asked.json {
            let nobody = owned.is_empty().then(|| describe(&inside, &[]));
            let same_path = owned.chunk_by(|a, b| a.0 == b.0).map(|owners| describe(&owners[0].0, owners));
            documents.extend(same_path.chain(nobody));
        } else {
            owned.iter().try_for_each(|(path, owner)| render::data(format_args!("{owner} /{path}")))?;
        }
    }
    if args.asked.json {
        render::json(&json!({ "format_version": 1, "owners": documents }))?;
    }
    Ok(code)
}

fn describe(path: &PkgPath, owners: &[(PkgPath, PackageName)]) -> Value {
    let names: Vec<&str> = owners.iter().map(|(_, name)| name.as_str()).collect();
    let mut value = json!({ "packages": names });
    render::put_path(&mut value, "/", path);
    value
}

/// The owners of the path, or else of those that fit it as a pattern, or else of what it leads to.
fn owned(db: &Installed, path: &PkgPath) -> anyhow::Result<Vec<(PkgPath, PackageName)>> {
    let owners: Vec<_> = db.owners(path)?.into_iter().map(|name| (path.clone(), name)).collect();
    match std::str::from_utf8(path.as_bytes()) {
        _ if !owners.is_empty() => Ok(owners),
        Ok(pattern) if pattern.contains(['*', '?', '[']) => Ok(db.owned_paths(pattern)?),
        _ => Ok(db.owners_at(path)?),
    }
}

/// A path inside the root, however it was written.
pub(super) fn inside(root: &Path, path: &Path) -> anyhow::Result<PkgPath> {
    within(root, path)?.ok_or_else(|| Failure::new(exit::USAGE, "`/` is the root itself, no path in it").into())
}

/// The same; `None` for the root itself.
fn within(root: &Path, path: &Path) -> anyhow::Result<Option<PkgPath>> {
    let root = places::absolute(root)?;
    let relative = match places::absolute(path)?.strip_prefix(&root) {
        Ok(relative) => relative.to_owned(),
        Err(_) => path.strip_prefix("/").unwrap_or(path).to_owned(),
    };
    let plain: PathBuf = relative.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    if plain.as_os_str().is_empty() {
        return Ok(None);
    }
    PkgPath::from_os(plain).map(Some).map_err(|error| Failure::new(exit::USAGE, error.to_string()).into())
}
