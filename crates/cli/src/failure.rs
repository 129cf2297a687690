//! From an error to an exit code.

use std::fmt;

/// A failure the commands themselves find: what, with which exit code, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    what: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure with one of the codes of [`exit`](crate::exit).
    pub fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), hint: None }
    }

    /// Its exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// What to do, where that is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// A run that ends before its work does, without anything being wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// Whoever read our output has gone.
    BrokenPipe,
    /// A signal asked us to stop; the clean-up is done.
    Signal(i32),
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BrokenPipe => f.write_str("nobody reads the output any more"),
            Self::Signal(signal) => write!(f, "stopped by signal {signal}"),
        }
    }
}

impl std::error::Error for Interrupted {}
