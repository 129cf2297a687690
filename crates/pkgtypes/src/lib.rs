//! The words of Kista.
//!
//! Every value here is made by parsing and is valid from then on: a [`PackageName`] is a name, a [`PkgPath`] can not
//! climb out of a tree, a [`Version`] has one order. The crates above speak in these words and check nothing twice.
//!
//! ```
//! use pkgtypes::{PkgPath, Relation, Version};
//!
//! let newer: Version = "1.10".parse()?;
//! assert!(newer > "1.9~rc1".parse()?);
//!
//! let wants: Relation = "zlib >= 1.2.13".parse()?;
//! assert_eq!(wants.to_string(), "zlib >= 1.2.13");
//!
//! assert!(PkgPath::new(b"usr/../etc/passwd".as_slice()).is_err());
//! # Ok::<(), pkgtypes::ParseError>(())
//! ```
//!
//! This crate does no I/O, knows no file format and reads no clock.
#![forbid(unsafe_code)]

mod arch;
mod digest;
mod error;
mod glob;
mod mode;
mod name;
mod path;
mod relation;
mod spec;
mod timestamp;
mod version;

pub use arch::Arch;
pub use digest::{Digest, Hasher, PackageId};
pub use error::ParseError;
pub use glob::Glob;
pub use mode::Mode;
pub use name::PackageName;
pub use path::PkgPath;
pub use relation::{Capability, Constraint, Op, Relation, Requirement};
pub use spec::PackageSpec;
pub use timestamp::Timestamp;
pub use version::{FullVersion, Release, Version};
