use std::io;

use pkgtypes::{Digest, PackageId, PkgPath};

use crate::ErrorKind;

/// Why a package as a sqlite file can not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZpkgProblem {
    /// The file is something else.
    #[error("it is no package as a sqlite file: {0}")]
    Foreign(String),
    /// A later version of this program made it.
    #[error("it has version {found}, this program knows {known}: use a later one")]
    Newer {
        /// Its `user_version`.
        found: u32,
        /// The latest version known here.
        known: u32,
    },
    /// Its content contradicts itself.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A journal lies beside it: whoever wrote it last did not use this program, and was interrupted.
    #[error(
        "`{0}` lies beside it: another program was interrupted while it wrote, and this one touches no such journal"
    )]
    Unsettled(String),
    /// A question took more steps than a file of its size can need.
    #[error("it is damaged: reading it takes more steps than a file of its size can need")]
    TooMuchWork,
    /// sqlite did not do what it was asked for.
    #[error("cannot {operation}: {source}")]
    Sqlite {
        /// What was tried, as a verb and its object.
        operation: &'static str,
        /// What sqlite says.
        source: rusqlite::Error,
    },
    /// A package that comes or goes is not what it must be.
    #[error(transparent)]
    Package(#[from] pkgformat::Error),
    /// The manifest would not be one.
    #[error("the package's manifest would be wrong: {0}")]
    Manifest(#[from] pkgformat::ManifestError),
    /// A content has another digest than the one under which it stands.
    #[error("it is damaged: the content of blob {digest} has the digest {found}")]
    WrongContent {
        /// The blob.
        digest: Digest,
        /// What it has.
        found: Digest,
    },
    /// A content can not be read.
    #[error("cannot read the content of blob {digest}: {source}")]
    Content {
        /// The blob.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// What was to be taken in can not be read.
    #[error("cannot read the new content: {0}")]
    Input(#[source] io::Error),
    /// What was to be given out can not be written.
    #[error("cannot write the content: {0}")]
    Output(#[source] io::Error),
    /// The encoder does not do what it was asked for.
    #[error("cannot compress: {0}")]
    Compress(#[source] io::Error),
    /// It holds no package, or several, where one was asked for.
    #[error("it holds {packages} packages, and one is asked for")]
    NotOne {
        /// How many it holds.
        packages: usize,
    },
    /// No package of this id is in it.
    #[error("it has no package with the id {0}")]
    NoPackage(PackageId),
    /// No content of this digest is in it.
    #[error("it has no blob {0}")]
    NoBlob(Digest),
    /// The path is not there.
    #[error("it has no path `{path}` {}", owner(package.as_ref()))]
    NoPath {
        /// The path.
        path: PkgPath,
        /// The package that was asked; without one, the paths that belong to no package.
        package: Option<PackageId>,
    },
    /// The path is there already.
    #[error("it has a path `{path}` {} already", owner(package.as_ref()))]
    PathExists {
        /// The path.
        path: PkgPath,
        /// The package that has it; without one, it belongs to none.
        package: Option<PackageId>,
    },
    /// The very same package is there already.
    #[error("it has the package {0} already")]
    PackageExists(PackageId),
    /// A path is not complete.
    #[error("path `{path}`: {reason}")]
    Incomplete {
        /// The path.
        path: PkgPath,
        /// What is missing or too much.
        reason: &'static str,
    },
    /// Another process changes it.
    #[error("another process changes it")]
    Busy,
}

impl ZpkgProblem {
    /// The class of this problem.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::NoPackage(_) | Self::NotOne { .. } | Self::NoBlob(_) | Self::NoPath { .. } => ErrorKind::Unknown,
            Self::PathExists { .. } | Self::PackageExists(_) | Self::Incomplete { .. } | Self::Manifest(_) => {
                ErrorKind::Refused
            }
            Self::Sqlite { .. } | Self::Input(_) | Self::Output(_) | Self::Compress(_) => ErrorKind::Failed,
            Self::Package(pkgformat::Error::Write(_)) => ErrorKind::Failed,
            Self::Busy => ErrorKind::Busy,
            _ => ErrorKind::Malformed,
        }
    }

    /// What sqlite says, by what it means.
    pub(crate) fn sqlite(operation: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match (&source, source.sqlite_error_code()) {
            (_, Some(ErrorCode::OperationInterrupted)) => Self::TooMuchWork,
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig)) => {
                Self::Damaged(source.to_string())
            }
            (
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::InvalidColumnType(..),
                _,
            ) => Self::Damaged(format!("a value is none that can stand there: {source}")),
            _ => Self::Sqlite { operation, source },
        }
    }
}

fn owner(package: Option<&PackageId>) -> String {
    package.map_or_else(|| "without a package".to_owned(), |id| format!("in package {id}"))
}
