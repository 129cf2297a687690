use std::io::Write;

use pkgformat::record::Summary;
use pkgformat::{Manifest, PackageMeta, PackageRecord, Writer};

use crate::report::Report;
use crate::spool::Spool;
use crate::{Error, Format, Result};

/// The longest record that readers take by default.
const RECORD: usize = 256 << 20;

/// A foreign package that was read whole: its record is known, its contents wait in the scratch file.
#[derive(Debug)]
pub struct Converted {
    format: Format,
    record: PackageRecord,
    spool: Spool,
    report: Report,
}

impl Converted {
    pub(crate) fn new(
        format: Format,
        meta: PackageMeta,
        manifest: Manifest,
        spool: Spool,
        report: Report,
    ) -> Result<Self> {
        let record = PackageRecord::new(meta, manifest)?;
        if record.encoded_len() > RECORD as u64 {
            return Err(Error::TooLarge { what: "metadata and paths", limit: RECORD });
        }
        Ok(Self { format, record, spool, report })
    }

    /// What it was.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Metadata and manifest.
    pub fn record(&self) -> &PackageRecord {
        &self.record
    }

    /// What could not be kept.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Writes the package and gives the writer back, flushed.
    ///
    /// # Errors
    /// A writer or the scratch file that fails; what was written then is no package.
    pub fn write_to<W: Write>(&self, output: W) -> Result<(W, Summary)> {
        let mut writer = Writer::new(output, &self.record)?;
        while let Some(due) = writer.due() {
            let missing = || Error::Spool(std::io::Error::other(format!("the content {} is not there", due.digest)));
            let (size, content) = self.spool.content(&due.digest).ok_or_else(missing)?;
            writer.blob(size, content)?;
        }
        Ok(writer.finish()?)
    }
}
