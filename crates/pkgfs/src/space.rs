/// What is left on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that every user may still write.
    pub bytes: u64,
    /// Bytes that are kept for the first user beside them.
    pub reserved: u64,
    /// Files that may still be made; `None` where the file system makes inodes as it needs them.
    pub inodes: Option<u64>,
}

impl From<rustix::fs::StatVfs> for Space {
    fn from(raw: rustix::fs::StatVfs) -> Self {
        let inodes = (raw.f_files > 0).then_some(raw.f_favail);
        let reserved = raw.f_bfree.saturating_sub(raw.f_bavail).saturating_mul(raw.f_frsize);
        Self { bytes: raw.f_bavail.saturating_mul(raw.f_frsize), reserved, inodes }
    }
}
