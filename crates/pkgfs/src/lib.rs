//! The only code that changes directory trees.
//!
//! A [`Root`] is an open tree. Nothing done through it follows a symbolic link or reaches outside, whatever the names in
//! the tree are and whoever changes them meanwhile; that is the kernel's promise (`openat2`), not ours. A [`Place`] is
//! one name in it, a [`Batch`] makes many places cheap, a [`Walk`] visits all of them in order.
//!
//! ```
//! use pkgfs::{Durability, Root, Walk};
//! use pkgtypes::{Mode, PkgPath};
//!
//! # let scratch = tempfile::tempdir()?;
//! # let path = scratch.path().join("tree");
//! let root = Root::create(path, Mode::from_raw(0o755))?;
//! let etc = PkgPath::new(b"etc".as_slice())?;
//! root.create_dir(&etc, Mode::from_raw(0o755))?;
//! root.write_file(&etc.join(b"motd")?, Mode::from_raw(0o644), b"hello\n", Durability::Atomic)?;
//!
//! let names: Vec<String> = Walk::new(&root)?.map(|entry| Ok(entry?.path.to_string())).collect::<pkgfs::Result<_>>()?;
//! assert_eq!(names, ["etc", "etc/motd"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This crate knows nothing of packages, users' names or compression, and never runs a program. Linux 5.6 or newer is
//! needed.
#![deny(unsafe_code)]

mod batch;
mod error;
pub mod fd;
mod lock;
mod place;
mod remove;
mod root;
mod space;
mod stat;
#[expect(unsafe_code, reason = "a system call that no crate offers")]
mod sys;
mod temp;
mod user;
mod walk;

pub use batch::Batch;
pub use error::{Error, ErrorKind, Result};
pub use lock::{Lock, LockKind, RecordLock, Wait};
pub use place::{Hold, Place, Rename};
pub use root::{Durability, Root};
pub use space::Space;
pub use stat::{FileKind, Stat};
pub use temp::{TempDir, TempFile};
pub use user::is_superuser;
pub use walk::{Walk, WalkEntry};
