use std::io;

use pkgtypes::{Digest, PackageId};

/// The result of reading or writing package files.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a package file can not be read, written or rebuilt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The package is not as it must be, or its source failed.
    #[error(transparent)]
    Package(#[from] pkgformat::Error),
    /// The file can not be read or decompressed.
    #[error("the package file can not be read: {0}")]
    Source(#[source] io::Error),
    /// What should be compressed as a package is none.
    #[error("byte {offset} of what is compressed is not of a package: {reason}")]
    NoPackage {
        /// Where a record is not as it must be.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// What should be compressed as a package ends within a record.
    #[error("what is compressed ends at byte {offset}, within a record")]
    CutOff {
        /// How long it is.
        offset: u64,
    },
    /// Frames are asked for of a file that has none.
    #[error("only zstd files are made of frames")]
    NoFrames,
    /// The file holds another package than the one that is to be rebuilt.
    #[error("the file holds the package {found}, not {expected}")]
    OtherPackage {
        /// The id of the package that is to be rebuilt.
        expected: PackageId,
        /// The id of the package in the file.
        found: PackageId,
    },
    /// A content that is here already can not be read, or is another one.
    #[error("the content {digest} at hand is of no use: {source}")]
    Local {
        /// The digest that it should have.
        digest: Digest,
        /// What is wrong with it.
        source: pkgformat::Error,
    },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Package(error) => error.into(),
            Error::Source(error) => error,
            Error::CutOff { .. } => Self::new(io::ErrorKind::UnexpectedEof, error),
            _ => Self::new(io::ErrorKind::InvalidData, error),
        }
    }
}
