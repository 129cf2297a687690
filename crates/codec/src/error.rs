use std::io;
use std::ops::RangeInclusive;

use crate::Format;

/// Why a file can not be unpacked or packed; stands inside an [`io::Error`], where [`io::Error::get_ref`] finds it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no such file, or damaged, or cut off.
    #[error("the {format} file is damaged at byte {offset}: {source}")]
    Damaged {
        /// What the file is compressed with.
        format: Format,
        /// How many of its bytes were used before this was found out.
        offset: u64,
        /// What the format's library says.
        source: io::Error,
    },
    /// Something follows the end of the compressed file.
    #[error("bytes that are not {format} follow the end of the {format} file at byte {offset}")]
    TrailingBytes {
        /// What the file is compressed with.
        format: Format,
        /// Where its end is.
        offset: u64,
    },
    /// The decoder failed before.
    #[error("the {format} decoder failed before")]
    Failed {
        /// What the file is compressed with.
        format: Format,
    },
    /// A level that the format does not have.
    #[error("{format} has no level {level}, it must be {} to {}", range.start(), range.end())]
    Level {
        /// The format.
        format: Format,
        /// The level that was asked for.
        level: u32,
        /// The levels there are.
        range: RangeInclusive<u32>,
    },
    /// A format that is only read.
    #[error("{format} can be read but not written; zstd, xz, gzip and bzip2 can")]
    ReadOnly {
        /// The format.
        format: Format,
    },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Damaged { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => source.kind(),
            Error::Level { .. } | Error::ReadOnly { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
