//! The record format of packages: read, write, manifest, limits.
//!
//! A package is a file of records: first the [`PackageRecord`] with metadata and manifest, then one record for each
//! distinct content, then a summary. A [`Writer`] makes one, a [`Reader`] takes one from any source front to back, a
//! [`SeekReader`] fetches single contents from a file. [`RawWriter`] and [`RawReader`] do the same with records of any
//! kind; signature archives and indexes are such files.
//!
//! ```
//! use pkgformat::{Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Reader, Writer};
//! use pkgtypes::{Digest, Mode, PkgPath};
//!
//! let text = b"hello\n";
//! let kind = EntryKind::File { mode: Mode::from_raw(0o644), size: 6, digest: Digest::of(text), elf: None };
//! let manifest = Manifest::new(vec![Entry::new(PkgPath::new(b"greeting".as_slice())?, kind)])?;
//! let meta = PackageMeta::new("hello".parse()?, "1.0".parse()?, "1".parse()?, "noarch".parse()?);
//! let record = PackageRecord::new(meta, manifest)?;
//!
//! let mut writer = Writer::new(Vec::new(), &record)?;
//! writer.blob(6, &text[..])?;
//! let (file, _) = writer.finish()?;
//!
//! let reader = Reader::open(&*file, Limits::default())?;
//! assert_eq!(reader.package().id(), record.id());
//! assert_eq!(reader.finish()?.bytes, 6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Equal content has equal bytes: what can be read would be written just so, and every other spelling is refused. The
//! encoding is one of bytes, so it is the same on every machine.
//!
//! Input is taken to be hostile. What a size claims is never allocated before it has arrived, [`Limits`] bound what is
//! accepted, and every byte is checked before it counts.
//!
//! # Limitations
//! A manifest is held as a list of entries of about 170 bytes each, and their paths. A manifest of usual entries takes
//! less than twice its encoded length, but one of nothing but folders with short paths more: [`Limits::entries`] bounds
//! it, to about 1 GiB by default.
//!
//! This crate opens no file, knows no compression and decides on no signature.
#![forbid(unsafe_code)]

mod error;
mod extent;
mod limits;
mod list;
mod manifest;
mod meta;
mod package;
mod raw;
mod reader;
pub mod record;
mod seek;
pub mod size;
mod source;
mod text;
mod writer;

pub use error::{Error, ManifestError, MetaError, Problem, Result};
pub use extent::{Checked, Extent, SingleBlob};
pub use limits::Limits;
pub use list::Meta;
pub use manifest::{ElfFacts, Entry, EntryKind, Manifest, Principal, Use, Xattr};
pub use meta::{PackageMeta, ScriptKind, Scripts, Trigger};
pub use package::{ExpectedBlob, PackageRecord};
pub use raw::{RawReader, RawRecord, RawWriter};
pub use reader::{BlobReader, Reader};
pub use record::Summary;
pub use seek::{BlobPlace, SeekReader};
pub use writer::Writer;
