//! Package files as the commands take them: compressed or not, from a file or from standard input.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use codec::{Bounds, Decoder, Format};
use pkgformat::{Limits, PackageRecord, Reader, SeekReader};

use crate::exit;
use crate::failure::Failure;
use crate::signals::Stoppable;

/// A package, read from its first byte on.
pub type Stream = Reader<Box<dyn Read>>;

/// Opens a package file; `-` is standard input.
///
/// # Errors
/// No such file, or something else than a package in it.
pub fn open(path: &Path) -> anyhow::Result<Stream> {
    Reader::open(plain(path)?, Limits::default()).with_context(|| unreadable(path))
}

/// The bytes of a package file, decompressed; `-` is standard input.
///
/// # Errors
/// No such file.
pub fn plain(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    Ok(Box::new(Decoder::new(raw(path)?, Bounds::default()).with_context(|| unreadable(path))?))
}

/// The bytes of a file as they are; `-` is standard input.
///
/// # Errors
/// No such file.
pub fn raw(path: &Path) -> anyhow::Result<Stoppable<Box<dyn Read>>> {
    Ok(Stoppable(if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(file(path)?) }))
}

/// Opens a package file at any place in it, where it is not compressed.
///
/// # Errors
/// As [`open`].
pub fn open_seekable(path: &Path) -> anyhow::Result<Option<SeekReader<BufReader<File>>>> {
    // A pipe gives its bytes once.
    let is_plain_file = std::fs::metadata(path).is_ok_and(|data| data.is_file());
    if is_stdin(path) || !is_plain_file {
        return Ok(None);
    }
    let mut head = [0; Format::MAGIC_LEN];
    let read = file(path)?.read(&mut head).with_context(|| unreadable(path))?;
    if Format::sniff(&head[..read]) != Format::Plain {
        return Ok(None);
    }
    SeekReader::open(BufReader::new(file(path)?), Limits::default()).with_context(|| unreadable(path)).map(Some)
}

/// The package record alone.
///
/// # Errors
/// As [`open`].
pub fn record(path: &Path) -> anyhow::Result<PackageRecord> {
    Ok(open(path)?.into_package())
}

/// What to call a package file in messages.
pub fn unreadable(path: &Path) -> String {
    format!("cannot read the package {}", shown(path))
}

/// A path for messages.
pub fn shown(path: &Path) -> String {
    if is_stdin(path) { "on standard input".to_owned() } else { format!("`{}`", path.display()) }
}

fn file(path: &Path) -> Result<File, Failure> {
    let file = File::open(path)
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot open {}: {error}", shown(path))))?;
    match file.metadata() {
        Ok(data) if data.is_dir() => {
            Err(Failure::new(exit::FAILED, format!("{} is a folder, not a package", shown(path)))
                .hint("`pkg pack` makes a package of a folder"))
        }
        _ => Ok(file),
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
