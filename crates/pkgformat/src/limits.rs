/// What a reader accepts before it gives up; nothing is allocated because a file merely claims a size.
///
/// ```
/// let limits = pkgformat::Limits { manifest: 16 << 20, ..Default::default() };
/// assert_eq!(limits.entries, 4 << 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest meta list of a record, and of one manifest entry, in bytes: 1 MiB.
    pub record_meta: u64,
    /// Longest manifest, in bytes: 256 MiB.
    pub manifest: u64,
    /// Most manifest entries: 4 Mi.
    pub entries: u64,
    /// Most records in a file, the summary included: 8 Mi.
    pub records: u64,
    /// Longest data that [`RawRecord::into_data`](crate::RawRecord::into_data) takes into memory, in bytes: 64 MiB.
    pub record_data: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_meta: 1 << 20, manifest: 256 << 20, entries: 4 << 20, records: 8 << 20, record_data: 64 << 20 }
    }
}
