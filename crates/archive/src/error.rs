use std::io;

use pkgtypes::ParseError;

use crate::Checksum;

/// What can be wrong with an archive. Offsets count in the decompressed bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The archive's bytes can not be had.
    #[error("the archive can not be read at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// Something that no archive of this kind has.
    #[error("not a valid {container} at byte {offset}: {reason}")]
    Malformed {
        /// `tar archive`, `Debian package`, ..
        container: &'static str,
        /// Where.
        offset: u64,
        /// What.
        reason: String,
    },
    /// A path that would leave the folder, or is none.
    #[error("entry `{entry}` at byte {offset}: {source}")]
    Path {
        /// The path or link target as it stands in the archive, escaped.
        entry: String,
        /// Where the entry's header is.
        offset: u64,
        /// What is wrong with it.
        source: ParseError,
    },
    /// An entry of a kind that can not be handled.
    #[error("entry `{entry}` at byte {offset}: {what}")]
    Unsupported {
        /// The entry.
        entry: String,
        /// Where its header is.
        offset: u64,
        /// What it is.
        what: String,
    },
    /// More than the limits allow.
    #[error("entry `{entry}` at byte {offset}: the archive has more than {limit} {what}")]
    Limit {
        /// The entry that is too much.
        entry: String,
        /// Where its header is.
        offset: u64,
        /// `entries` or `bytes`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The archive ends within a file.
    #[error("entry `{entry}` at byte {offset}: the archive ends {missing} bytes before the file does")]
    Truncated {
        /// The file.
        entry: String,
        /// Where its header is.
        offset: u64,
        /// Bytes that are missing.
        missing: u64,
    },
    /// An archive can not be written.
    #[error("the archive can not be written")]
    Write {
        /// Why.
        source: io::Error,
    },
    /// Data for an archive are not as long as they were said to be.
    #[error("entry `{entry}`: its data are not the {size} bytes that were announced")]
    Announced {
        /// The file.
        entry: String,
        /// How long they should be.
        size: u64,
    },
    /// A signature is expected, and there is none.
    #[error("`{entry}` is not signed, but a signature is expected")]
    Unsigned {
        /// The part of the package.
        entry: String,
    },
    /// A signature that is not good.
    #[error("the signature of `{entry}` is not good: {reason}")]
    Signature {
        /// The part of the package.
        entry: String,
        /// Why.
        reason: String,
    },
    /// Keys that can not be used.
    #[error("the OpenPGP keys can not be read: {reason}")]
    Keys {
        /// Why.
        reason: String,
    },
    /// A part is not what the package itself says it is.
    #[error("`{entry}` at byte {offset}: its {} is {found}, but the package says {expected}", expected.algorithm())]
    Checksum {
        /// The file, or the part of the package.
        entry: String,
        /// Where it is.
        offset: u64,
        /// What the package says.
        expected: Checksum,
        /// What it is.
        found: Checksum,
    },
}

/// The raw bytes of a name, for an error.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let mut text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN {
        text.push_str("..");
    }
    text
}
