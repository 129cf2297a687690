//! Recipes: how software is described so that it can be built from nothing but that description.
//!
//! A recipe is a folder (`type`, `deps`, `meta`, `sources`, `build`, ..) in a [`RecipeTree`]. Reading one checks all of
//! it: an unknown word is an error with file, line, column and what may have been meant. A [`Graph`] tells what a build
//! room holds, in which order to build, and the recipe key, which changes when anything that a build sees changes.
//!
//! ```
//! use recipe::DepSpec;
//!
//! let spec: DepSpec = "zlib/1.2.13/1".parse()?;
//! assert_eq!(spec.name.as_str(), "zlib");
//! assert_eq!(spec.to_relation().to_string(), "zlib = 1.2.13-1");
//! # Ok::<(), pkgtypes::ParseError>(())
//! ```
//!
//! This crate runs nothing, fetches nothing and writes nothing; the byte-level rules are in `docs/format/recipe.md`.
#![forbid(unsafe_code)]

mod capabilities;
mod closure;
mod dependency;
mod env;
mod error;
mod explanation;
mod folder;
mod graph;
mod id;
pub mod limits;
mod lines;
mod link;
mod lint;
mod lint_id;
mod lock;
mod meta;
mod outputs;
mod perm;
mod position;
mod recipe;
mod recipe_type;
mod room;
mod rundeps;
mod source;
mod spec;
mod suggest;
mod tree;
mod waiver;

pub use capabilities::Capabilities;
pub use closure::runtime_closure;
pub use dependency::Dependency;
pub use env::{RESERVED_VARIABLES, Variable};
pub use error::{CycleStep, FolderProblem, LineProblem, RecipeError};
pub use explanation::Explanation;
pub use folder::RecipeFile;
pub use graph::Graph;
pub use id::{Channel, PackageRef, RecipeId};
pub use link::Link;
pub use lint::{Finding, lint};
pub use lint_id::LintId;
pub use lock::{Lock, LockLine};
pub use meta::{Meta, MetaScripts, Script};
pub use outputs::{OutputRule, Outputs};
pub use perm::Perm;
pub use pkgtypes::Glob;
pub use position::Position;
pub use recipe::{KNOWN_FILES, Recipe};
pub use recipe_type::{Flag, Kind, RecipeType};
pub use room::{Facts, NoFacts, Provider, RoomPackage};
pub use rundeps::{RunDependency, Rundeps};
pub use source::{Source, SourceDigest, SourceKind, SourceUrl};
pub use spec::DepSpec;
pub use tree::RecipeTree;
pub use waiver::Waiver;
