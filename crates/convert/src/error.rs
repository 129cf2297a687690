use std::io;

use archive::ArchiveError;
use pkgtypes::{ParseError, PkgPath};

use crate::VersionError;

/// What can keep a foreign package from becoming a package.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The container is damaged or unsafe, or can not be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// None of the kinds of packages that are known.
    #[error("this is no package of a known kind: deb, rpm, apk, pacman, gpkg or tar")]
    Unknown,
    /// The input can not be read.
    #[error("the input can not be read")]
    Input(#[source] io::Error),
    /// The file that holds contents meanwhile fails.
    #[error("the scratch file for contents fails")]
    Spool(#[source] io::Error),
    /// A package of sources, which is nothing to install.
    #[error("this {format} package holds sources; only what is built from them can be converted")]
    SourcePackage {
        /// What kind of package.
        format: &'static str,
    },
    /// A field that every package has is not there.
    #[error("the {format} package has no `{field}`")]
    Missing {
        /// What kind of package.
        format: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A value that a package of ours can not have either.
    #[error("the {format} package's `{field}` can not be taken over")]
    Value {
        /// What kind of package.
        format: &'static str,
        /// The field.
        field: &'static str,
        /// Why.
        source: ParseError,
    },
    /// The package's own version has no counterpart.
    #[error("the package's version has no counterpart in the same order")]
    Version(#[from] VersionError),
    /// One path in two entries that are no folders.
    #[error("`{path}` stands twice in the package")]
    Repeated {
        /// The path.
        path: PkgPath,
    },
    /// A hard link to what is no file of the package.
    #[error("`{path}` is a hard link to `{target}`, which is no file before it")]
    Hardlink {
        /// The link.
        path: PkgPath,
        /// What it names.
        target: PkgPath,
    },
    /// More than a reader of what comes out accepts.
    #[error("the {what} have more than {limit} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How many are accepted.
        limit: usize,
    },
    /// More metadata than a reader accepts.
    #[error("the metadata have {bytes} bytes, more than the {limit} that are read")]
    Metadata {
        /// How many.
        bytes: u64,
        /// How many are read.
        limit: u64,
    },
    /// What came out is no package: entries that do not fit together, or a writer that fails.
    #[error(transparent)]
    Package(#[from] pkgformat::Error),
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;
