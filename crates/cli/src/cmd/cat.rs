//! `pkg cat FILE|URL PATH`.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use pkgformat::{EntryKind, PackageRecord};
use pkgtypes::{Digest, PkgPath};
use serde_json::json;

use crate::content::Content;
use crate::exit;
use crate::failure::Failure;
use crate::packages;
use crate::render::{self, Voice};
use crate::signals::Stoppable;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The package, compressed or not; `-` is standard input. A URL of http or https will do.
    #[arg(value_name = "FILE|URL")]
    file: PathBuf,
    /// The path of a file in it.
    path: PathBuf,
    /// Tell the content in events as JSON, one a line: `text`, or `hex` where it is none.
    #[arg(long)]
    json: bool,
}

/// Writes the content of one file of a package.
///
/// # Errors
/// No such file in the package, or a package that is damaged there.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    let shown = args.path.display();
    let inside = args.path.strip_prefix("/").unwrap_or(&args.path);
    let path = PkgPath::from_os(inside).map_err(|error| Failure::new(exit::USAGE, error.to_string()))?;
    let missing = || Failure::new(exit::UNKNOWN, format!("{} holds no file `{shown}`", packages::shown(&args.file)));
    let damaged = || format!("cannot read `{shown}` in {}", packages::shown(&args.file));
    let mut opened = packages::look(&args.file)?;
    let digest = digest(opened.record(), &path).ok_or_else(missing)?;
    let mut content = Content::new(args.json);
    copy(opened.blob(&digest).with_context(damaged)?, &mut content)?;
    let mut facts = json!({ "digest": digest.to_string() });
    render::put_path(&mut facts, "/", &path);
    content.finish(facts)?;
    Ok(exit::DONE)
}

/// The blob that a path shows, also through a hard link.
fn digest(package: &PackageRecord, path: &PkgPath) -> Option<Digest> {
    match &package.manifest().find(path)?.kind {
        EntryKind::File { digest, .. } => Some(*digest),
        EntryKind::Hardlink { target } => digest(package, target),
        _ => None,
    }
}

/// What was written before damage is found can not be taken back, so the end tells.
fn copy(blob: impl Read, out: &mut Content) -> anyhow::Result<()> {
    let mut blob = Stoppable(blob);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = blob.read(&mut buffer).map_err(pkgformat::Error::from)?;
        if read == 0 {
            return render::written(out.flush());
        }
        render::written(out.write_all(&buffer[..read]))?;
    }
}
