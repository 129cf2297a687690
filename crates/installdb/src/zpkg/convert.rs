//! From a package as records to one as a sqlite file, and back.

use std::io::{Read, Write};
use std::path::Path;

use pkgformat::{PackageRecord, Reader, Summary};
use pkgfs::{Durability, Root};
use pkgtypes::{PackageId, PkgPath};

use super::{Zpkg, ZpkgEdit, ZpkgProblem};
use crate::Error;
use crate::error::Result;

/// Writes a package as a sqlite file; equal packages give equal bytes with an equal version of sqlite. The file appears
/// when it is complete.
///
/// # Errors
/// The package is not what it must be; the disk fails.
pub fn from_kpkg<R: Read>(reader: Reader<R>, root: &Root, path: &PkgPath, durability: Durability) -> Result<PackageId> {
    let mut edit = ZpkgEdit::create(root, path, content_size(reader.package()))?;
    let id = edit.add_package(reader)?;
    edit.commit(durability)?;
    Ok(id)
}

fn content_size(record: &PackageRecord) -> u64 {
    record.blobs().filter_map(|blob| blob.size).fold(0, u64::saturating_add)
}

/// Writes the one package of a file as a file of records, byte for byte the one that it was made of.
///
/// # Errors
/// The file is no such file, is damaged, or holds no package or several; the writer fails.
pub fn to_kpkg<W: Write>(file: impl AsRef<Path>, writer: W) -> Result<(PackageId, Summary)> {
    let zpkg = Zpkg::open(file)?;
    let ids = zpkg.package_ids()?;
    let [id] = ids[..] else {
        return Err(Error::Zpkg { path: zpkg.file, problem: ZpkgProblem::NotOne { packages: ids.len() } });
    };
    let (_, summary) = zpkg.write_package(&id, writer)?;
    Ok((id, summary))
}
