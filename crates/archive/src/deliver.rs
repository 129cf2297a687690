use std::io::Read;

use crate::at::At;
use crate::checksum::{Checksum, Hashed};
use crate::data::Data;
use crate::{ArchiveError, Entry, EntryKind};

/// Hands an entry to the caller, passes over what it left of the data, and compares the checksum that is known.
pub(crate) fn deliver<E: From<ArchiveError>>(
    entry: &Entry,
    data: &mut dyn Read,
    expected: Option<&Checksum>,
    at: &At,
    each: &mut impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let size = if let EntryKind::File { size } = entry.kind { size } else { 0 };
    let mut hashed = Hashed::new(data, expected.map(Checksum::algorithm));
    let mut rest = Data::new(&mut hashed, size);
    let result = each(entry, &mut rest);
    // The archive's own error says more than what the caller made of it.
    rest.finish().map_err(|early| at.early(early))?;
    result?;
    for (expected, found) in expected.into_iter().zip(hashed.finish()) {
        at.compare(expected, &found)?;
    }
    Ok(())
}

/// Passes over the data of a file that the caller does not want, which must be there nonetheless.
pub(crate) fn pass_over(data: &mut dyn Read, size: u64, at: &At) -> Result<(), ArchiveError> {
    Data::new(data, size).finish().map_err(|early| at.early(early))
}
