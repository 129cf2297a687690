//! The build engine: from recipes to packages.
//!
//! A [`Builder`] takes recipes of a tree, builds what they need first, each in a clean room of its own, and leaves
//! packages in a cache. What was built before is taken from there: a result depends on the recipe and on the *trees* in
//! its room, so a dependency that comes out the same rebuilds nothing.
//!
//! ```no_run
//! use builder::{Builder, BuildOptions, Silent};
//! use recipe::RecipeTree;
//!
//! let tree = RecipeTree::open("recipes")?;
//! let lua = tree.find_package(&"lua".parse()?, None, None)?;
//! let mut builder = Builder::open(&tree, "/var/cache/kista".as_ref(), BuildOptions::default(), &|| false)?;
//! for package in builder.build(&[lua], &mut Silent)? {
//!     println!("{} {}", package.id, package.path.display());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing is installed here and nothing signed: packages are files, and what becomes of them is the caller's business.
//!
//! # Limitations
//! Recipes are built one after the other; within one, `make` gets all jobs. `git` and `patch` sources are refused,
//! and so are `source` recipes with a build script, which would need the network.
//! Programs are not stripped, and debug information is not split off.
#![forbid(unsafe_code)]

mod access;
mod assembly;
mod builder;
mod caches;
mod error;
mod events;
mod facts;
mod keys;
mod known;
mod log;
mod options;
mod packing;
mod relock;
mod room;
mod sources;
mod split;
mod testing;
mod unpack;

use std::io;
use std::path::Path;

pub use builder::{Builder, BuiltPackage};
pub use error::{Clash, Error, FailedScript};
pub use events::{Events, Silent};
pub use options::BuildOptions;
pub use relock::Relocked;
pub use room::RoomLimits;

/// Answers whether to stop; asked often and from other threads.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// An error of reading or writing `path`.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Io { action, path, error }
}
