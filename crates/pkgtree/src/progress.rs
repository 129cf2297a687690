use std::ops::ControlFlow;

use crate::{Error, Result};

/// Hears how far a long task is, and may stop it; called on the thread that started it.
pub trait Progress {
    /// This many bytes of content are to be handled in all.
    fn begin(&mut self, bytes: u64);
    /// This many more were handled. After a break the task ends with [`Error::Stopped`], and leaves nothing behind.
    fn advance(&mut self, bytes: u64) -> ControlFlow<()>;
}

/// For those who do not want to hear.
impl Progress for () {
    fn begin(&mut self, _: u64) {}
    fn advance(&mut self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// A listener's answer, as an error when it says to stop.
pub(crate) fn go_on(answer: ControlFlow<()>) -> Result<()> {
    match answer {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Stopped),
    }
}
