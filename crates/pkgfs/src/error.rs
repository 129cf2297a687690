use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What a step on the disk answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A step on the disk that did not work: what was tried, where, and why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path:?}: {}", Reason(self))]
#[non_exhaustive]
pub struct Error {
    /// What was tried, as a verb and its object: `create the file`.
    pub operation: &'static str,
    /// Where, below the path under which the tree was opened.
    pub path: PathBuf,
    /// The class of the failure.
    pub kind: ErrorKind,
    /// What the kernel said.
    pub source: io::Error,
}

/// The class of a failure on the disk; what a caller may want to tell apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file system is full, or has no inodes left.
    NoSpace,
    /// The user's quota is used up.
    Quota,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The user may not do this.
    Denied,
    /// Nothing has this name.
    NotFound,
    /// Something has this name already.
    Exists,
    /// A folder is needed and something else is there, or the reverse.
    WrongType,
    /// A symbolic link stands where none is followed.
    Symlink,
    /// A folder that must be empty is not.
    NotEmpty,
    /// Something is mounted on it, or the kernel uses it otherwise.
    InUse,
    /// The path would leave the tree, or the other name is on another file system.
    Elsewhere,
    /// The file system does not know this operation.
    Unsupported,
    /// The lock is held; by which process, when the holder said so.
    Locked {
        /// Process id of the holder.
        holder: Option<u32>,
    },
    /// This process, or the machine, has no more open files to give.
    TooManyFiles,
    /// A signal came while waiting.
    Interrupted,
    /// The kernel lacks `openat2`, without which paths can not be kept inside a tree.
    KernelTooOld {
        /// The running kernel's release.
        release: String,
    },
    /// Anything else; see the source.
    Other,
}

impl Error {
    /// An error of the operating system, in its context.
    pub fn new(operation: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let kind = ErrorKind::of(&source);
        Self { operation, path: path.into(), kind, source }
    }

    pub(crate) fn errno(operation: &'static str, path: &Path, errno: Errno) -> Self {
        Self::new(operation, path, errno.into())
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }
}

impl ErrorKind {
    fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::NOSPC) => Self::NoSpace,
            Some(Errno::DQUOT) => Self::Quota,
            Some(Errno::ROFS) => Self::ReadOnly,
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied,
            Some(Errno::NOENT) => Self::NotFound,
            Some(Errno::EXIST) => Self::Exists,
            Some(Errno::NOTDIR | Errno::ISDIR) => Self::WrongType,
            Some(Errno::LOOP) => Self::Symlink,
            Some(Errno::NOTEMPTY) => Self::NotEmpty,
            Some(Errno::BUSY) => Self::InUse,
            Some(Errno::XDEV) => Self::Elsewhere,
            Some(Errno::NOSYS | Errno::OPNOTSUPP) => Self::Unsupported,
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyFiles,
            Some(Errno::INTR) => Self::Interrupted,
            _ => Self::Other,
        }
    }
}

/// The part of a message after the colon: what the kernel said, and what only we know.
struct Reason<'a>(&'a Error);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            ErrorKind::Symlink => write!(f, "a symbolic link stands in the path, and none is followed here"),
            ErrorKind::Locked { holder: Some(pid) } => write!(f, "process {pid} holds it"),
            ErrorKind::Locked { holder: None } => write!(f, "another process holds it"),
            ErrorKind::KernelTooOld { release } => {
                write!(f, "kernel {release} has no usable openat2; Linux 5.6 or newer is needed")
            }
            _ => write!(f, "{}", self.0.source),
        }
    }
}
