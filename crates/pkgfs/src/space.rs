/// What is left on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this user may still write.
    pub bytes: u64,
    /// Files that may still be made; `None` where the file system makes inodes as it needs them.
    pub inodes: Option<u64>,
}

impl From<rustix::fs::StatVfs> for Space {
    fn from(raw: rustix::fs::StatVfs) -> Self {
        let inodes = (raw.f_files > 0).then_some(raw.f_favail);
        Self { bytes: raw.f_bavail.saturating_mul(raw.f_frsize), inodes }
    }
}
