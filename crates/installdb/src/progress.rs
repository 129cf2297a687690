use std::ops::ControlFlow;

use pkgtypes::{PackageName, PkgPath};

/// Hears how far a transaction or a comparison is, and may stop it; a transaction, before it is decided. After that it
/// may only stop scripts.
pub trait Progress {
    /// Something went on. After a break, a transaction is taken back, with [`Error::Stopped`](crate::Error::Stopped).
    fn report(&mut self, event: Event<'_>) -> ControlFlow<()>;
}

/// What went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Content of a package was written to the disk.
    Staged {
        /// The package.
        package: &'a PackageName,
        /// Bytes written so far, of all packages.
        bytes: u64,
        /// Bytes to write in all.
        total: u64,
    },
    /// Some paths of a package were compared with the disk.
    Verified {
        /// The package.
        package: &'a PackageName,
    },
    /// A script of a package is about to run, or runs, which is told four times a second. After a break it is asked to end,
    /// and ended when it does not; what would come after it is left for later.
    Script {
        /// The package.
        package: &'a PackageName,
        /// Which script.
        stage: &'a str,
    },
    /// A folder of the root is being looked at.
    Walked {
        /// The folder.
        folder: &'a PkgPath,
    },
}

/// Nobody listens.
impl Progress for () {
    fn report(&mut self, _: Event<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
