use crate::ArchiveError;
use crate::checksum::Checksum;
use crate::data::Early;
use crate::error::shown;

/// The entry that an error is about.
pub(crate) struct At {
    pub(crate) container: &'static str,
    pub(crate) entry: String,
    pub(crate) offset: u64,
}

impl At {
    pub(crate) fn malformed(&self, reason: impl AsRef<str>) -> ArchiveError {
        let reason = format!("entry `{}`: {}", self.entry, reason.as_ref());
        ArchiveError::Malformed { container: self.container, offset: self.offset, reason }
    }

    pub(crate) fn unsupported(&self, what: impl Into<String>) -> ArchiveError {
        ArchiveError::Unsupported { entry: self.entry.clone(), offset: self.offset, what: what.into() }
    }

    pub(crate) fn path(&self, raw: &[u8], source: pkgtypes::ParseError) -> ArchiveError {
        ArchiveError::Path { entry: shown(raw), offset: self.offset, source }
    }

    pub(crate) fn limit(&self, what: &'static str, limit: u64) -> ArchiveError {
        ArchiveError::Limit { entry: self.entry.clone(), offset: self.offset, what, limit }
    }

    /// An error where the checksums are not equal.
    pub(crate) fn compare(&self, expected: &Checksum, found: &Checksum) -> Result<(), ArchiveError> {
        if expected == found {
            return Ok(());
        }
        let (entry, offset) = (self.entry.clone(), self.offset);
        Err(ArchiveError::Checksum { entry, offset, expected: expected.clone(), found: found.clone() })
    }

    pub(crate) fn early(&self, early: Early) -> ArchiveError {
        let (entry, offset) = (self.entry.clone(), self.offset);
        match early {
            Early::Truncated(missing) => ArchiveError::Truncated { entry, offset, missing },
            Early::Failed(source) => ArchiveError::Io { offset, source },
        }
    }
}
