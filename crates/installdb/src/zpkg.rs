//! Packages as sqlite files: `.zpkg`.
//!
//! Such a file has the tables in which an install database keeps what is known of packages, and the packages' contents
//! beside them. It holds one package, made from a file of records and turned into the same bytes again, or it is a small
//! repository: many packages, contents, and paths that belong to no package yet.
//!
//! ```
//! use installdb::zpkg::{LoosePath, PathType, Zpkg, ZpkgEdit};
//! use pkgfs::{Durability, Root};
//! use pkgformat::PackageMeta;
//! use pkgtypes::{Mode, PkgPath};
//!
//! # let scratch = tempfile::tempdir()?;
//! let folder = Root::open(scratch.path())?;
//! let file = PkgPath::new(b"hello.zpkg".as_slice())?;
//!
//! let mut edit = ZpkgEdit::create(&folder, &file, 0)?;
//! let meta = PackageMeta::new("hello".parse()?, "1.0".parse()?, "1".parse()?, "noarch".parse()?);
//! let empty = edit.create_package(meta)?;
//! let blob = edit.add_blob(&b"hello\n"[..])?;
//! let greeting = PkgPath::new(b"greeting".as_slice())?;
//! let mut path = LoosePath::new(greeting.clone(), PathType::File);
//! path.mode = Some(Mode::from_raw(0o644));
//! path.content = Some(blob.digest);
//! edit.add_path(&path)?;
//! let package = edit.associate(&empty, &[greeting])?;
//! edit.commit(Durability::Atomic)?;
//!
//! let zpkg = Zpkg::open(scratch.path().join("hello.zpkg"))?;
//! assert_eq!(zpkg.package_ids()?, [package]);
//! let (records, _) = zpkg.write_package(&package, Vec::new())?;
//! assert!(records.starts_with(b"\xABKPK"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a signature covers
//!
//! The package id, which is the same whichever file the package is in: the digest of its record, which names the digest
//! of every content. The sqlite file itself is not signed, and need not be: whatever else is in it, what comes out of
//! [`Zpkg::write_package`] is the package of that id or an error. So every change of a package gives it another id.
//!
//! # What a file may do to its reader
//!
//! Nothing but fail. Its header is looked at before sqlite sees it, no journal beside it is touched, its tables must be
//! ours to the letter, so it has no triggers, and each question may take only so many steps as its length justifies.
//! Answers come from the packages' records, through the same parsers as those of other packages, and from contents that
//! have the right digest; the other tables are for those who ask in SQL, and [`Zpkg::check`] holds them against the records.

mod check;
mod connection;
mod content;
mod convert;
mod edit;
mod file;
mod header;
mod path;
mod problem;
mod rows;
mod schema;

pub use check::ZpkgContents;
pub use content::{Blob, BlobContent};
pub use convert::{from_kpkg, to_kpkg};
pub use edit::ZpkgEdit;
pub use file::Zpkg;
pub use header::{ZPKG_APPLICATION_ID, ZPKG_MAGIC_LEN, ZPKG_USER_VERSION, is_zpkg};
pub use path::{LoosePath, PathType};
pub use problem::ZpkgProblem;
