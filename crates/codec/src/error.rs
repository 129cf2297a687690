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
    /// The encoder failed before; what it wrote is of no use.
    #[error("the {format} encoder failed before")]
    EncoderFailed {
        /// What is written.
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
    /// What should be a seek table is none.
    #[error("the seek table at the end of the zstd file is wrong: {reason}")]
    SeekTable {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More frames than a seek table may have.
    #[error("a seekable zstd file can not have more than {limit} frames")]
    TooManyFrames {
        /// How many it may have.
        limit: usize,
    },
    /// A frame does not hold as much as the seek table says.
    #[error("the zstd frame at byte {offset} does not hold the {size} bytes that the seek table says")]
    FrameSize {
        /// Where the frame stands.
        offset: u64,
        /// How much it should hold.
        size: u64,
    },
    /// A size that frames can not have.
    #[error("a frame can not be of {size} bytes, it must be {} to {}", range.start(), range.end())]
    FrameLength {
        /// The size that was asked for.
        size: usize,
        /// The sizes there are.
        range: RangeInclusive<usize>,
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
            Error::Level { .. } | Error::ReadOnly { .. } | Error::FrameLength { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
