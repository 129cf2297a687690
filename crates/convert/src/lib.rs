//! Foreign packages become packages, and packages become foreign ones.
//!
//! [`read`] takes a package of another system from any source, tells what it is by its first bytes, and gives a
//! [`Converted`] package: record, contents, and a [`Report`] of what could not be kept. Versions keep their order
//! ([`Scheme`]). Equal input gives equal bytes.
//!
//! ```
//! use convert::{Options, Scheme, read};
//! use pkgformat::PackageMeta;
//!
//! let older = Scheme::Debian.version("2.36~rc1-1")?;
//! let newer = Scheme::Debian.version("2.36-9+deb12u14")?;
//! assert_eq!((newer.to_string().as_str(), older < newer), ("2.36^9+deb12u14", true));
//!
//! let mut archive = tar::Builder::new(Vec::new());
//! let mut header = tar::Header::new_ustar();
//! header.set_size(6);
//! header.set_mode(0o644);
//! archive.append_data(&mut header, "usr/share/greeting", &b"hello\n"[..])?;
//!
//! let meta = PackageMeta::new("hello".parse()?, "1.0".parse()?, "0".parse()?, "noarch".parse()?);
//! let options = Options { meta: Some(meta), ..Options::default() };
//! let converted = read(&*archive.into_inner()?, tempfile::tempfile()?, &options)?;
//! let (package, summary) = converted.write_to(Vec::new())?;
//! assert_eq!((summary.files, converted.report().losses.len()), (3, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`to_tar`] and [`to_gpkg`] go the other way.
//!
//! Contents go through a scratch file that the caller opens, so memory holds the manifest and little else.
//!
//! This crate runs no script of a package, decides on no signature, and writes no file of its own accord.
#![forbid(unsafe_code)]

mod alpine;
mod arch;
mod converted;
mod debian;
mod draft;
mod effects;
mod error;
mod export;
mod format;
mod gentoo;
mod name;
mod portage;
mod report;
mod rpm;
mod spool;
mod tarball;
mod tree;
mod version;

use std::fs::File;
use std::io::Read;

use archive::OpenPgpKeys;
use pkgformat::PackageMeta;

pub use converted::Converted;
pub use error::{Error, Result};
pub use export::to_tar;
pub use format::{Format, Sniffed};
pub use portage::to_gpkg;
pub use report::{Loss, LossKind, Report};
pub use version::{Comparison, Scheme, VersionError};

/// How to convert.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How much may be in the foreign archive.
    pub archive: archive::Options,
    /// Name, version and all else of a package that says nothing of itself.
    pub meta: Option<PackageMeta>,
    /// OpenPGP keys that must have signed a gpkg package; without them no signature is looked at.
    pub gpkg_keys: Option<OpenPgpKeys>,
}

/// Reads a foreign package whole. `spool` is an empty file for its contents; nothing else must write to it.
///
/// # Errors
/// A file that is none of the known ones, a damaged or unsafe package, a version without a counterpart, a full disk.
pub fn read(source: impl Read, spool: File, options: &Options) -> Result<Converted> {
    read_sniffed(Sniffed::new(source).map_err(Error::Input)?, spool, options)
}

/// As [`read`], of a source that was looked at.
///
/// # Errors
/// As [`read`].
pub fn read_sniffed<R: Read>(source: Sniffed<R>, spool: File, options: &Options) -> Result<Converted> {
    match source.format().ok_or(Error::Unknown)? {
        Format::Deb => debian::read(source, spool, options),
        Format::Rpm => rpm::read(source, spool, options),
        Format::Apk => alpine::read(source, spool, options),
        Format::Pacman => arch::read(source, spool, options),
        Format::Gpkg => gentoo::read(source, spool, options),
        Format::Tar => tarball::read(source, spool, options),
    }
}
