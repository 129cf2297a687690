//! `pkg files GLOB..`.

use installdb::Installed;
use serde_json::json;

use crate::options::Asked;
use crate::render::{self, Voice};
use crate::{exit, patterns};

/// Whose files.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patterns that names of installed packages fit (`*`, `?`, `[..]`).
    #[arg(required = true, value_name = "GLOB")]
    patterns: Vec<String>,
    #[command(flatten)]
    asked: Asked,
    /// End each path with a NUL byte instead of a line end, and write it as it is.
    #[arg(short = '0', long, conflicts_with = "json")]
    null: bool,
}

/// Lists the paths that packages own, as they are seen from the root.
///
/// # Errors
/// A package that is not installed; a database that can not be read.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    let db = Installed::open(&args.asked.root)?;
    let mut listed = Vec::new();
    let mut bytes = Vec::new();
    for name in patterns::names(&db, &args.patterns)? {
        let record = db.record(&name)?;
        for entry in record.manifest().entries() {
            if args.asked.json {
                let mut file = json!({ "package": name.as_str(), "type": entry.kind.name() });
                render::put_path(&mut file, "/", &entry.path);
                listed.push(file);
            } else if args.null {
                bytes.extend([b"/", entry.path.as_bytes(), b"\0"].concat());
            } else {
                bytes.extend(format!("/{}\n", entry.path).into_bytes());
            }
        }
    }
    if args.asked.json {
        render::json(&json!({ "format_version": 1, "files": listed }))?;
    } else {
        render::raw(&bytes)?;
    }
    Ok(exit::DONE)
}
