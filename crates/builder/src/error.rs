use std::path::PathBuf;

use pkgtypes::PkgPath;
use recipe::{PackageRef, RecipeError, RecipeId};

/// Why a build did not end with packages.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A recipe or the tree it is in is wrong.
    #[error(transparent)]
    Recipe(#[from] RecipeError),

    /// A source could not be had, or is not the one the recipe names.
    #[error("cannot get source `{source_name}` of {recipe}")]
    Source {
        /// The recipe that names it.
        recipe: Box<RecipeId>,
        /// Its name in the recipe.
        source_name: String,
        /// What went wrong.
        #[source]
        error: fetch::Error,
    },

    /// A source is no archive, or holds what a tree must not.
    #[error("cannot unpack source `{source_name}` of {recipe}")]
    Unpack {
        /// The recipe that names it.
        recipe: Box<RecipeId>,
        /// Its name in the recipe.
        source_name: String,
        /// What went wrong.
        #[source]
        error: archive::ArchiveError,
    },

    /// The recipe asks for something that this builder does not do.
    #[error("{recipe}: {what}")]
    Unsupported {
        /// The recipe.
        recipe: Box<RecipeId>,
        /// What it asks for, and what to write instead.
        what: String,
    },

    /// Two packages of a room bring the same path.
    #[error(transparent)]
    Clash(Box<Clash>),

    /// The clean room could not be made; nothing of the recipe has run.
    #[error("the room of {recipe} could not be made")]
    Room {
        /// Whose room.
        recipe: Box<RecipeId>,
        /// The step that failed and why.
        #[source]
        error: sandbox::Error,
    },

    /// The recipe's script ran and failed.
    #[error(transparent)]
    Failed(Box<FailedScript>),

    /// The result breaks a promise of the recipe.
    #[error("{recipe}: {what}")]
    Result {
        /// The recipe.
        recipe: Box<RecipeId>,
        /// What is wrong with it, and which paths.
        what: String,
    },

    /// A folder or file of the caches could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The reason.
        #[source]
        error: std::io::Error,
    },

    /// The source store or the fetcher could not be set up.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),

    /// A tree could not be changed.
    #[error(transparent)]
    Tree(#[from] pkgfs::Error),

    /// A package could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Package {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The reason.
        #[source]
        error: pkgtree::Error,
    },

    /// A signal asked to stop; everything half done was removed.
    #[error("interrupted")]
    Interrupted,
}

/// Two packages of a room bring the same path.
#[derive(Debug, thiserror::Error)]
#[error("the room of {recipe} can not hold both {first} and {second}: both bring `{path}`")]
pub struct Clash {
    /// Whose room.
    pub recipe: RecipeId,
    /// One package.
    pub first: PackageRef,
    /// The other.
    pub second: PackageRef,
    /// The path, which is not a folder in both.
    pub path: PkgPath,
}

/// A script of a recipe that failed, and what it left to read.
#[derive(Debug, thiserror::Error)]
#[error("{recipe}: `{script}` {how}")]
pub struct FailedScript {
    /// The recipe.
    pub recipe: RecipeId,
    /// Which of its scripts: `build`, `check` or `test`.
    pub script: &'static str,
    /// How it ended: an exit status, a signal or a limit.
    pub how: String,
    /// The first line of the log that looks like an error.
    pub first_error: Option<String>,
    /// The last lines of the log.
    pub tail: Vec<String>,
    /// The whole log.
    pub log: PathBuf,
    /// The folder of the failed build, where it was kept.
    pub kept: Option<PathBuf>,
}
