/// Hears how far a long task is; called on the thread that started it.
pub trait Progress {
    /// This many bytes of content are to be handled in all.
    fn begin(&mut self, bytes: u64);
    /// This many more were handled.
    fn advance(&mut self, bytes: u64);
}

/// For those who do not want to hear.
impl Progress for () {
    fn begin(&mut self, _: u64) {}
    fn advance(&mut self, _: u64) {}
}
