//! Tar archives, which say nothing of themselves.

use std::fs::File;
use std::io::{self, Read};

use codec::{Bounds, Decoder};

use crate::draft::Draft;
use crate::{Converted, Error, Format, Options, Result};

pub(crate) fn read(source: impl Read, spool: File, options: &Options) -> Result<Converted> {
    let meta = options.meta.clone().ok_or(Error::Missing { format: Format::Tar.as_str(), field: "name" })?;
    let mut draft = Draft::new(Format::Tar, meta, spool);
    let mut plain = Decoder::new(source, Bounds::default()).map_err(Error::Input)?;
    archive::read_tar::<Error>(&mut plain, &options.archive, |entry, data| {
        draft.tree.add(entry, data, &mut draft.report)
    })?;
    // The checksum of the compression stands at its end.
    io::copy(&mut plain, &mut io::sink()).map_err(Error::Input)?;
    draft.tree.mark_by_place();
    draft.finish(false)
}
