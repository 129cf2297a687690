//! Threads beside the one that was called, whose start can fail: users and machines have a limit of them.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::Error;
use crate::error::Result;

/// Begins work that must be done.
///
/// # Errors
/// [`Error::Thread`]; the work was let go.
pub(crate) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map_err(Error::Thread)
}

/// Begins work that the threads share; as many of them as can be had, but one at least.
///
/// # Errors
/// [`Error::Thread`] where there is none; the works that were not begun were let go.
pub(crate) fn spawn_some<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    works: impl Iterator<Item = impl FnOnce() -> T + Send + 'scope>,
) -> Result<Vec<ScopedJoinHandle<'scope, T>>> {
    let (mut begun, mut failure) = (Vec::new(), None);
    for work in works {
        match spawn(scope, work) {
            Ok(thread) => begun.push(thread),
            Err(error) => failure = Some(error),
        }
    }
    failure.filter(|_| begun.is_empty()).map_or(Ok(begun), Err)
}
