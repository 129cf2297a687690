//! Foreign archives as streams of entries: tar, zip, and the packages of Debian ([`Deb`]), rpm ([`Rpm`]), Alpine
//! ([`Apk`]), pacman ([`Pacman`]) and Gentoo ([`Gpkg`]).
//!
//! Every container gives the same [`Entry`]: a path that can not leave its folder, what it is, its metadata. The caller
//! decides what becomes of it. A package is opened, which reads what it says of itself, and then its files are read; what
//! it states of them - checksums, sizes, lists - is compared on the way, and anything that differs is an error.
//!
//! ```
//! use archive::{ArchiveError, Options, read_tar};
//!
//! let mut builder = tar::Builder::new(Vec::new());
//! let mut header = tar::Header::new_ustar();
//! header.set_size(5);
//! header.set_mode(0o644);
//! builder.append_data(&mut header, "hello-1/greeting", &b"hello"[..]).unwrap();
//! let bytes = builder.into_inner().unwrap();
//!
//! let mut seen = Vec::new();
//! read_tar::<ArchiveError>(&bytes[..], &Options::stripping(1), |entry, _| {
//!     seen.push(entry.path.to_string());
//!     Ok(())
//! })?;
//! assert_eq!(seen, ["greeting"]);
//! # Ok::<(), ArchiveError>(())
//! ```
//!
//! Written are tar archives ([`TarWriter`]) and gpkg packages ([`GpkgWriter`]), to any writer.
//!
//! This crate never writes to disk, and it unpacks no compression but what is inside a container: a `.tar.xz` is decoded
//! by the caller with `codec`.
//!
//! # Limitations
//! Of sparse files in the pax format version 1.0 is read, not the older 0.0 and 0.1. OpenPGP signatures are checked in gpkg alone;
//! those of rpm and apk are handed out. Packages of rpm whose files have checksums of SHA-3, and of apk's format 3, are
//! refused.
#![forbid(unsafe_code)]

mod apk;
mod at;
mod capability;
mod checksum;
mod cpio;
mod data;
mod deb;
mod deliver;
mod entry;
mod error;
mod gpkg;
mod gpkg_writer;
mod mtree;
mod openpgp;
mod pacman;
mod pkginfo;
mod place;
mod replay;
mod rpm;
mod source;
mod tar;
mod tar_writer;
mod zip;

pub use apk::{Apk, ApkMetadata, ApkSignature};
pub use checksum::{Checksum, ChecksumAlgorithm};
pub use deb::{Deb, DebControl};
pub use entry::{Entry, EntryKind, Limits, Options};
pub use error::ArchiveError;
pub use gpkg::{Gpkg, GpkgMetadata};
pub use gpkg_writer::{GpkgOptions, GpkgWriter};
pub use openpgp::OpenPgpKeys;
pub use pacman::{Pacman, PacmanMetadata};
pub use rpm::{
    Rpm, RpmDependency, RpmFile, RpmFileFlags, RpmMetadata, RpmScript, RpmScriptKind, RpmSignature, RpmTrigger,
    RpmTriggerKind,
};
pub use tar::read_tar;
pub use tar_writer::TarWriter;
pub use zip::read_zip;
