//! A package as a file: compressed or not, whole or in ranges.
//!
//! A [`Compressor`] takes the bytes of a package and writes them compressed, in frames that end where records end. A
//! [`PackageFile`] reads the package record and single contents from anything that can be read at any place, on this
//! machine or on a server, whatever it is compressed with. [`PackageFile::wanted`] says which byte ranges of a file are
//! needed by whoever has some of its contents already, and [`rebuild`] makes the package of those ranges and contents.
//!
//! ```
//! # use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, Writer};
//! # use pkgtypes::{Digest, Mode, PkgPath};
//! use std::io::Read;
//!
//! use codec::{Bounds, Format};
//! use pkgfile::{CompressOptions, Compressor, PackageFile};
//! use pkgformat::Limits;
//! # let kind = EntryKind::File { mode: Mode::from_raw(0o644), size: 2, digest: Digest::of("hi"), elf: None };
//! # let manifest = Manifest::new(vec![Entry::new(PkgPath::new(b"greeting".as_slice())?, kind)])?;
//! # let meta = PackageMeta::new("hello".parse()?, "1".parse()?, "1".parse()?, "noarch".parse()?);
//! # let record = PackageRecord::new(meta, manifest)?;
//!
//! let compressor = Compressor::new(Vec::new(), Format::Zstd, &CompressOptions::default())?;
//! let mut writer = Writer::new(compressor, &record)?;
//! writer.blob(2, &b"hi"[..])?;
//! let file = writer.finish()?.0.finish()?;
//!
//! let mut package = PackageFile::open(file, Limits::default(), Bounds::default())?;
//! let mut text = String::new();
//! package.blob(&Digest::of("hi"))?.read_to_string(&mut text)?;
//! assert_eq!(text, "hi");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate knows no compression of its own and no record's meaning but where it ends; it opens no file and no
//! connection, and decides on no signature.
#![forbid(unsafe_code)]

mod boundaries;
mod compressor;
mod error;
mod package_file;
mod partial;
mod rebuild;
mod wanted;

pub use compressor::{CompressOptions, Compressor};
pub use error::{Error, Result};
pub use package_file::{Blob, PackageFile};
pub use partial::{NotFetched, Partial};
pub use rebuild::rebuild;
pub use wanted::Wanted;
