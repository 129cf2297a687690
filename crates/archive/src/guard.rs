use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Counts the bytes of an archive and, while headers are read, holds them to a budget.
///
/// The tar library reads long names and attributes into memory whatever size they claim. It reads them through this, so
/// a hostile size ends in an error after as many bytes as the budget has.
pub(crate) struct Guard<R> {
    inner: R,
    state: Rc<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    offset: Cell<u64>,
    /// Bytes that may still be read; `None` for no bound.
    budget: Cell<Option<u64>>,
    exhausted: Cell<bool>,
}

impl State {
    pub(crate) fn offset(&self) -> u64 {
        self.offset.get()
    }

    pub(crate) fn set_budget(&self, budget: Option<u64>) {
        self.budget.set(budget);
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }
}

impl<R> Guard<R> {
    pub(crate) fn new(inner: R) -> (Self, Rc<State>) {
        let state = Rc::new(State::default());
        (Self { inner, state: Rc::clone(&state) }, state)
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let budget = self.state.budget.get();
        if budget == Some(0) && !buffer.is_empty() {
            self.state.exhausted.set(true);
            return Err(io::Error::other("the headers of one entry are too large"));
        }
        let most = budget.map_or(buffer.len(), |left| buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let read = self.inner.read(&mut buffer[..most])?;
        self.state.offset.set(self.state.offset.get().saturating_add(read as u64));
        self.state.budget.set(budget.map(|left| left.saturating_sub(read as u64)));
        Ok(read)
    }
}
