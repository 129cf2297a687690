//! A look at the database file before sqlite gets it.
//!
//! sqlite takes a file that is cut off inside its first page for an empty one, and would begin anew over it. A database
//! gets its name when its tables are in it, so an empty file is one that lost its content.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use pkgfs::{ErrorKind as DiskError, FileKind, Root};
use pkgtypes::PkgPath;

use crate::Error;
use crate::error::Result;
use crate::home::Home;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whether there is a database.
///
/// # Errors
/// It, or a file beside it, is no regular file; it is no database, or shorter than its header says; only its log is there.
pub(crate) fn is_there(root: &Root, home: &Home) -> Result<bool> {
    let damaged = |reason: String| Error::Damaged { path: root.path().join(home.database()), reason };
    let path = home.database();
    let place = match root.at(&path) {
        Ok(place) => place,
        Err(error) if error.kind == DiskError::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let (file, stat) = match place.open_with_stat() {
        Ok(opened) => opened,
        Err(error) if error.kind == DiskError::NotFound => {
            if is_empty(root, &home.log())? && is_empty(root, &home.rollback())? {
                return Ok(false);
            }
            return Err(damaged("it is missing, only its log is there".to_owned()));
        }
        Err(error) if matches!(error.kind, DiskError::Symlink | DiskError::WrongType) => {
            return Err(damaged("it is no regular file".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    if stat.size == 0 {
        return Err(damaged("it is empty, and no database ever is".to_owned()));
    }
    [home.log(), home.rollback(), home.memory()].iter().try_for_each(|beside| expect_file(root, beside))?;
    // What is in the logs may be newer than the header.
    let settled = is_empty(root, &home.log())? && is_empty(root, &home.rollback())?;
    let size = expected_size(&file)
        .map_err(|error| pkgfs::Error::new("read the file", root.path().join(home.database()), error))?;
    match size {
        None => Err(damaged("it is no database".to_owned())),
        Some(expected) if settled && expected > stat.size => {
            Err(damaged(format!("it is cut off: {} bytes of {expected} are there", stat.size)))
        }
        Some(_) => Ok(true),
    }
}

/// sqlite would wait at a pipe for somebody who writes.
fn expect_file(root: &Root, path: &PkgPath) -> Result<()> {
    match root.stat(path)? {
        Some(stat) if stat.kind != FileKind::File => {
            Err(Error::Damaged { path: root.path().join(path), reason: "it is no regular file".to_owned() })
        }
        _ => Ok(()),
    }
}

/// The file's length as its header has it; `None` where the file has no header.
fn expected_size(file: &File) -> io::Result<Option<u64>> {
    let mut header = [0; 100];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    Ok(header.starts_with(MAGIC).then_some(page_size * u64::from(pages)))
}

pub(crate) fn is_empty(root: &Root, path: &PkgPath) -> Result<bool> {
    Ok(root.stat(path)?.is_none_or(|stat| stat.size == 0))
}
