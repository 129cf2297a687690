use std::fmt;
use std::path::PathBuf;

use pkgtypes::Digest;

/// What a step answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while a source is brought here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No place had it.
    #[error("{name} (sha256:{digest}) is nowhere to be had{}", Listed(attempts))]
    Nowhere {
        /// The source's file name.
        name: String,
        /// What was wanted.
        digest: Digest,
        /// Every place that was tried, in order, with the reason why it did not serve.
        attempts: Vec<Attempt>,
    },
    /// It is not in the store, and nothing else may be asked.
    #[error(
        "{name} (sha256:{digest}) is not in the source store {store:?}, and this works offline{}",
        Listed(attempts)
    )]
    Offline {
        /// The source's file name.
        name: String,
        /// What was wanted.
        digest: Digest,
        /// Where the store is.
        store: PathBuf,
        /// The places that were tried all the same (files), and those that were not.
        attempts: Vec<Attempt>,
    },
    /// A place had something else under this name, and no other place had the right thing.
    #[error(
        "{name} from {place} is not what is wanted: it has sha256:{found}, wanted is sha256:{wanted}{}",
        Listed(others)
    )]
    WrongDigest {
        /// The source's file name.
        name: String,
        /// What was wanted.
        wanted: Digest,
        /// What came.
        found: Digest,
        /// Where it came from.
        place: Box<str>,
        /// The other places that were tried.
        others: Box<[Attempt]>,
    },
    /// The digest belongs to another version's file: a recipe got a new version and kept the old digest.
    #[error(
        "sha256:{digest} is known as {known}, and now {name} is said to have it; \
         put the new file's digest into the recipe (or remove {folder:?} when the old name was wrong)"
    )]
    StaleDigest {
        /// The file name asked for.
        name: String,
        /// The digest.
        digest: Digest,
        /// The name under which the store has it.
        known: String,
        /// The digest's folder in the store.
        folder: PathBuf,
    },
    /// A URL that is none, or of a kind unknown here.
    #[error("`{text}` is not a URL that can be fetched: {reason}")]
    Url {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file name that can not be one.
    #[error("`{name}` can not be the name of a source: {reason}")]
    Name {
        /// The text.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file on a server can not be read.
    #[error("{url} can not be read: {reason}")]
    Remote {
        /// The URL.
        url: String,
        /// Why not.
        reason: Reason,
    },
    /// The machine's apt could not answer a question.
    #[error(transparent)]
    Apt(Reason),
    /// The caller asked to stop.
    #[error("stopped on request")]
    Cancelled,
    /// The settings for http can not be used.
    #[error("the {what} for http can not be used: {reason}")]
    Settings {
        /// Which setting.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// A file that should be read can not be.
    #[error("cannot {operation} {path:?}: {source}")]
    Read {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No thread could be started: the user or the machine has as many as are allowed.
    #[error("a thread can not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// A step on the disk that did not work.
    #[error(transparent)]
    Disk(#[from] pkgfs::Error),
}

/// One place that was tried in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The URL.
    pub place: String,
    /// Why it did not serve.
    pub reason: Reason,
}

/// Why a place did not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing but the store and files may be asked.
    #[error("not asked: offline")]
    Offline,
    /// The place does not have it.
    #[error("not found")]
    NotFound,
    /// The server answered with something else than the file.
    #[error("the server answered {status}")]
    Status {
        /// The status code of HTTP.
        status: u16,
    },
    /// No connection, a time-out, a broken transfer.
    #[error("{text} (after {received} bytes)")]
    Transfer {
        /// What happened.
        text: String,
        /// How much is here already, for the next try.
        received: u64,
    },
    /// It is larger than the caller allows.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Something else lies there.
    #[error("it has sha256:{found} there")]
    WrongDigest {
        /// What came.
        found: Digest,
    },
    /// The file can not be read.
    #[error("{text}")]
    Unreadable {
        /// What the system said.
        text: String,
    },
    /// The file became another one while it was read.
    #[error("the file changed while it was read")]
    Changed,
    /// The server answered with another range than the one asked for.
    #[error("the server answered with another part of the file than was asked for")]
    WrongRange,
    /// This machine has no apt.
    #[error("this machine has no `{}`, which is part of Debian's package apt", program.display())]
    AptMissing {
        /// The program.
        program: PathBuf,
    },
    /// The caller set no apt up.
    #[error("not asked: apt is not set up")]
    AptUnused,
    /// The pinned version is not in apt's lists any more.
    #[error("apt does not know {name} {version}{}", Known(candidates))]
    Moved {
        /// The package.
        name: String,
        /// The pinned version.
        version: String,
        /// The versions that apt knows.
        candidates: Vec<String>,
    },
    /// Apt's lists have the version, but its server has the file no more.
    #[error("apt could not bring {name} {version}: {text}{}", Known(candidates))]
    Gone {
        /// The package.
        name: String,
        /// The pinned version.
        version: String,
        /// Apt's own words.
        text: String,
        /// The other versions that apt knows.
        candidates: Vec<String>,
    },
    /// Apt has no package of these names.
    #[error("apt knows no package {}", names.join(", "))]
    Unknown {
        /// The names.
        names: Vec<String>,
    },
    /// The source package of this version has no such file.
    #[error("the source package {name} {version} has no file {file}; it has {}", have.join(" "))]
    NoSuchFile {
        /// The source package.
        name: String,
        /// Its version.
        version: String,
        /// The file asked for.
        file: String,
        /// The files it has.
        have: Vec<String>,
    },
    /// Apt failed.
    #[error("apt failed: {text}")]
    Apt {
        /// Apt's own words.
        text: String,
    },
}

/// What keeps one place, or everything, from serving.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The place did not serve; another one may.
    Place(Reason),
    /// Nothing would work here.
    Error(Error),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Place(reason)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<pkgfs::Error> for Failure {
    fn from(error: pkgfs::Error) -> Self {
        Self::Error(error.into())
    }
}

struct Listed<'a>(&'a [Attempt]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|attempt| write!(f, "\n  {}: {}", attempt.place, attempt.reason))
    }
}

struct Known<'a>(&'a [String]);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("; it knows no other version"),
            known => write!(f, "; it knows {}", known.join(" ")),
        }
    }
}
