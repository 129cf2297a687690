//! Between trees and packages.
//!
//! A [`Packer`] makes a package of a directory: every file is read once, hashed beside the writing, and what equal trees
//! give is equal byte for byte. An [`Unpacker`] makes a directory of a package from any source, each checksum checked
//! before anything is called done. A [`TreeStore`] keeps packages unpacked as plain trees, and [`tree_digest`] says
//! whether two packages look the same to a build.
//!
//! ```
//! use pkgformat::{Limits, PackageMeta, Reader};
//! use pkgfs::{Durability, Root};
//! use pkgtree::{PackOptions, Packer, UnpackOptions, Unpacker};
//! use pkgtypes::{Mode, PkgPath};
//!
//! # let scratch = tempfile::tempdir()?;
//! let root = Root::open(scratch.path())?;
//! let [tree, package, copy] = ["tree", "hello.kpkg", "copy"].map(|name| PkgPath::new(name.as_bytes()));
//! let tree = tree?;
//! root.create_dir(&tree, Mode::from_raw(0o755))?;
//! root.write_file(&tree.join(b"hello")?, Mode::from_raw(0o644), b"hello\n", Durability::Atomic)?;
//!
//! let meta = PackageMeta::new("hello".parse()?, "1.0".parse()?, "1".parse()?, "any".parse()?);
//! let package = package?;
//! Packer::new(&root.sub(&tree)?, meta, PackOptions::default()).create(&root, &package, Durability::Atomic)?;
//!
//! let reader = Reader::open(root.open_file(&package)?, Limits::default())?;
//! let unpacked = Unpacker::new(reader, UnpackOptions::default()).create(&root, &copy?)?;
//! assert_eq!(unpacked.record.manifest().entries().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate decides on no signature, resolves nothing, compresses nothing (a compressed package is decoded by whoever
//! hands it in), and installs nothing: the tree of a running system is the installer's.
#![forbid(unsafe_code)]

mod attributes;
mod elf;
mod error;
mod names;
mod pack;
mod progress;
mod store;
mod threads;
mod transfer;
mod tree_digest;
mod unpack;

pub use elf::elf_facts;
pub use error::{Error, Result};
pub use names::Names;
pub use pack::{Keep, Owners, PackOptions, Packed, Packer};
pub use progress::Progress;
pub use store::TreeStore;
pub use tree_digest::tree_digest;
pub use unpack::{NotApplied, Ownership, UnpackOptions, Unpacked, Unpacker};
