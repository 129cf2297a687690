use std::ops::ControlFlow;

use pkgtypes::PackageName;

/// Hears how far a transaction is, and may stop it before it is decided.
pub trait Progress {
    /// Something went on. After a break, the transaction is taken back with [`Error::Stopped`](crate::Error::Stopped).
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
}

/// Nobody listens.
impl Progress for () {
    fn report(&mut self, _: Event<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
