use std::io;

use pkgtypes::PkgPath;

/// What packing, unpacking and the store answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a tree could not be packed or a package not be unpacked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A step on the disk did not work.
    #[error(transparent)]
    Disk(#[from] pkgfs::Error),
    /// The package is not what the format demands, or can not be made so.
    #[error(transparent)]
    Format(#[from] pkgformat::Error),
    /// Somebody worked in the tree while it was being packed. Nothing was written that could be taken for a package.
    #[error("{path} changed while it was being packed; pack again when nothing writes to the tree")]
    Changed {
        /// What changed.
        path: PkgPath,
    },
    /// The filter refused an entry.
    #[error("{path}: {source}")]
    Filter {
        /// Where.
        path: PkgPath,
        /// What the filter says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The filter changed what only the tree can say: path, type, size, digest or target.
    #[error("{path}: a filter may change owner, mode, time, attributes and uses, nothing else")]
    FilterChanged {
        /// Where.
        path: PkgPath,
    },
    /// An entry that was added is a file, whose content nobody gave.
    #[error("{path}: a file can not be added without its content; put it into the tree")]
    AddedFile {
        /// Which one.
        path: PkgPath,
    },
    /// The package could not be written out.
    #[error("the package can not be written: {0}")]
    Output(#[source] io::Error),
    /// All blobs together are too long for a 64-bit number.
    #[error("the tree is too large for one package")]
    TooLarge,
    /// A helper thread could not be started.
    #[error("a thread can not be started: {0}")]
    Thread(#[source] io::Error),
    /// The place for a tree is taken.
    #[error("{0:?} is there already and not an empty folder")]
    Occupied(std::path::PathBuf),
    /// The listener said to stop; nothing was left behind.
    #[error("stopped by request")]
    Stopped,
}
