//! Package files as the commands take them: compressed or not, from a file, from standard input, or from a server.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use codec::{Bounds, Decoder, Position, ReadAt};
use fetch::{Remote, Url};
use pkgfile::PackageFile;
use pkgformat::{Limits, PackageRecord, Reader};

use crate::failure::Failure;
use crate::signals::Stoppable;
use crate::{exit, places};

/// A package, read from its first byte on.
pub type Stream = Reader<Box<dyn Read>>;

/// A package that can be read at any place.
pub type Random = PackageFile<Box<dyn ReadAt>>;

/// A package that is looked into.
pub enum Opened {
    /// Where it can be read at any place: a file, or one on a server that gives parts of it.
    Random(Random),
    /// Where it comes once: standard input, a pipe, a server that gives it as a whole.
    Stream(Box<Stream>),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("id", &self.record().id()).finish_non_exhaustive()
    }
}

impl Opened {
    /// The package record.
    pub fn record(&self) -> &PackageRecord {
        match self {
            Self::Random(package) => package.record(),
            Self::Stream(package) => package.package(),
        }
    }
}

/// Opens a package, of which no more is read than its head; `-` is standard input.
///
/// # Errors
/// No such file, or something else than a package in it.
pub fn look(path: &Path) -> anyhow::Result<Opened> {
    match source(path)? {
        Source::Random(source) => {
            let package = PackageFile::open(source, Limits::default(), Bounds::default());
            package.map(Opened::Random).map_err(plain_error).with_context(|| unreadable(path))
        }
        Source::Stream(_) => Ok(Opened::Stream(Box::new(open(path)?))),
    }
}

/// Opens a package file to be read front to back; `-` is standard input.
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
    Ok(Stoppable(match source(path)? {
        Source::Random(source) => Box::new(Position::new(source)),
        Source::Stream(stream) => stream,
    }))
}

/// An error of a package file without what only wraps it.
pub fn plain_error(error: pkgfile::Error) -> anyhow::Error {
    match error {
        pkgfile::Error::Package(error) => error.into(),
        pkgfile::Error::Source(error) => error.into(),
        error => error.into(),
    }
}

/// Where bytes come from.
enum Source {
    Random(Box<dyn ReadAt>),
    Stream(Box<dyn Read>),
}

fn source(path: &Path) -> anyhow::Result<Source> {
    if is_stdin(path) {
        return Ok(Source::Stream(Box::new(io::stdin())));
    }
    if let Some(url) = path.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://")) {
        return match Remote::open(&url.parse::<Url>()?, &places::http())? {
            Remote::Ranges(ranges) => Ok(Source::Random(Box::new(Stoppable(OnServer(ranges))))),
            Remote::Stream(stream) => Ok(Source::Stream(Box::new(stream))),
        };
    }
    let file = file(path)?;
    // A pipe gives its bytes once.
    match file.metadata() {
        Ok(data) if data.is_file() => Ok(Source::Random(Box::new(Stoppable(file)))),
        _ => Ok(Source::Stream(Box::new(file))),
    }
}

/// A file on a server.
struct OnServer(fetch::Ranges);

impl ReadAt for OnServer {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.size())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset).map_err(io::Error::other)
    }
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
