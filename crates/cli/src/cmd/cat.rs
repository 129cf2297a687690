//! `pkg cat FILE PATH`.

use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use pkgformat::{EntryKind, PackageRecord};
use pkgtypes::{Digest, PkgPath};

use crate::failure::Failure;
use crate::render::{self, Voice};
use crate::signals::Stoppable;
use crate::{exit, packages};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The package, compressed or not; `-` is standard input.
    file: PathBuf,
    /// The path of a file in it.
    path: PathBuf,
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
    if let Some(mut package) = packages::open_seekable(&args.file)? {
        let digest = content(package.package(), &path).ok_or_else(missing)?;
        copy(package.blob(&digest).with_context(damaged)?)?;
        return Ok(exit::DONE);
    }
    let mut package = packages::open(&args.file)?;
    let digest = content(package.package(), &path).ok_or_else(missing)?;
    while let Some(blob) = package.next_blob().with_context(damaged)? {
        if blob.digest() == digest {
            copy(blob)?;
            return Ok(exit::DONE);
        }
    }
    Err(missing().into())
}

/// The blob that a path shows, also through a hard link.
fn content(package: &PackageRecord, path: &PkgPath) -> Option<Digest> {
    match &package.manifest().find(path)?.kind {
        EntryKind::File { digest, .. } => Some(*digest),
        EntryKind::Hardlink { target } => content(package, target),
        _ => None,
    }
}

/// What was written before damage is found can not be taken back, so the end tells.
fn copy(blob: impl Read) -> anyhow::Result<()> {
    let mut blob = Stoppable(blob);
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = blob.read(&mut buffer).map_err(pkgformat::Error::from)?;
        if read == 0 {
            return render::written(out.flush());
        }
        render::written(out.write_all(&buffer[..read]))?;
    }
}
