//! Making the staged files.

use pkgformat::Entry;
use pkgfs::{Batch, Place, Root, fd};
use pkgtypes::{Mode, PkgPath};
use std::fs::File;
use std::io::{self, ErrorKind as IoError, Seek as _, SeekFrom};

use super::flusher::FlushMeter;
use crate::error::Result;
use crate::rights::{Grant, Rights, plain};
use crate::unset::Missing;
use crate::{Error, Unset};

/// Zeros of this length become a hole.
const HOLE: usize = 64 << 10;

/// A file to be made.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    pub(crate) path: PkgPath,
    pub(crate) node: usize,
    pub(crate) entry: &'a Entry,
}

/// How many threads share a work: more wait for the file system's own locks.
pub(crate) fn threads() -> usize {
    codec::processors().get().min(8)
}

/// Makes the files of one thread.
pub(crate) struct Writer<'a> {
    folders: Batch<'a>,
    rights: &'a Rights,
    meter: FlushMeter,
    missing: Vec<Missing>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(root: &'a Root, rights: &'a Rights, meter: FlushMeter) -> Self {
        Self { folders: Batch::new(root), rights, meter, missing: Vec::new() }
    }

    /// Makes a file.
    pub(crate) fn write(&mut self, target: &Target<'_>, content: &[u8]) -> Result<()> {
        self.meter.add(content.len() as u64);
        let place = self.folders.at(&target.path)?;
        let grant = self.rights.grant(target.entry);
        let file = create(&place, grant)?;
        fd::write_all_at(&file, content, 0).map_err(disk(&place, "write the file"))?;
        self.missing.extend(finish_file(&place, &file, target, grant)?);
        Ok(())
    }

    /// Makes files with one content of this size that comes piece by piece, as with [`write_stream`].
    pub(crate) fn stream<E: From<Error>>(
        &mut self,
        targets: &[Target<'_>],
        size: u64,
        next: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.meter.add(size.saturating_mul(targets.len() as u64));
        self.missing.extend(write_stream(&mut self.folders, self.rights, targets, next)?);
        Ok(())
    }

    /// What could not be given to the files that it made.
    pub(crate) fn into_missing(self) -> Vec<Missing> {
        self.missing
    }
}

fn disk(place: &Place<'_>, operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| pkgfs::Error::new(operation, place.full_path(), error).into()
}

/// Nobody else may open it before it is whole.
const PRIVATE: Mode = Mode::from_raw(0o600);
/// Nor is there a reason to close a file that everybody may read and nobody else may change.
const OPEN: [Mode; 2] = [Mode::from_raw(0o644), Mode::from_raw(0o755)];

/// Makes the file with the permissions that it is going to have, where these can be given before it is whole.
fn create(place: &Place<'_>, grant: Grant) -> Result<File> {
    Ok(place.create_file(if OPEN.contains(&grant.mode) { grant.mode } else { PRIVATE })?)
}

/// Makes files with one content that comes piece by piece: `next` puts one in place of the last, and says whether there is
/// one.
pub(crate) fn write_stream<E: From<Error>>(
    folders: &mut Batch<'_>,
    rights: &Rights,
    targets: &[Target<'_>],
    next: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
) -> Result<Vec<Missing>, E> {
    let Some((first, copies)) = targets.split_first() else { return Ok(Vec::new()) };
    let mut missing = Vec::new();
    let mut original = {
        let place = folders.at(&first.path).map_err(Error::from)?;
        let grant = rights.grant(first.entry);
        let file = create(&place, grant)?;
        write_pieces(&place, &file, next)?;
        missing.extend(finish_file(&place, &file, first, grant)?);
        file
    };
    for target in copies {
        let place = folders.at(&target.path).map_err(Error::from)?;
        let grant = rights.grant(target.entry);
        let mut file = create(&place, grant)?;
        original.seek(SeekFrom::Start(0)).map_err(disk(&place, "write the file"))?;
        io::copy(&mut original, &mut file).map_err(disk(&place, "write the file"))?;
        missing.extend(finish_file(&place, &file, target, grant)?);
    }
    Ok(missing)
}

fn write_pieces<E: From<Error>>(
    place: &Place<'_>,
    file: &File,
    mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, E>,
) -> Result<(), E> {
    let (mut length, mut piece) = (0, Vec::new());
    while next(&mut piece)? {
        if piece.len() < HOLE || piece.iter().any(|&byte| byte != 0) {
            fd::write_all_at(file, &piece, length).map_err(disk(place, "write the file"))?;
        }
        length += piece.len() as u64;
    }
    Ok(file.set_len(length).map_err(disk(place, "write the file"))?)
}

/// Gives the file what it did not come with. Owner first, since a change of owner takes capabilities and setid bits away;
/// permissions after the attributes, since access lists among these change them.
fn finish_file(place: &Place<'_>, file: &File, target: &Target<'_>, grant: Grant) -> Result<Option<Missing>> {
    let Grant { mut mode, owner, .. } = grant;
    let mut unset = Unset::NOTHING;
    let came = fd::stat(file).map_err(disk(place, "look at"))?;
    let mut is_as_it_came = target.entry.xattrs.is_empty();
    if let Some((uid, gid)) = owner
        && (uid, gid) != (came.uid, came.gid)
    {
        is_as_it_came = false;
        if !given(fd::set_owner(file, uid, gid)).map_err(disk(place, "set the owner of"))? {
            unset = unset | Unset::OWNER | if mode == plain(mode) { Unset::NOTHING } else { Unset::SETID };
            mode = plain(mode);
        }
    }
    for xattr in &target.entry.xattrs {
        let answer = given(fd::set_xattr(file, &xattr.name, &xattr.value));
        if !answer.map_err(disk(place, "set an extended attribute of"))? {
            unset = unset | Unset::XATTRS;
        }
    }
    if !is_as_it_came || came.mode != mode {
        fd::set_mode(file, mode).map_err(disk(place, "set the mode of"))?;
        if fd::stat(file).map_err(disk(place, "look at"))?.mode != mode {
            unset = unset | Unset::MODE;
        }
    }
    fd::set_mtime(file, target.entry.mtime).map_err(disk(place, "set the time of"))?;
    Ok((unset != Unset::NOTHING).then_some((target.node, unset)))
}

/// Whether a property could be given. That this user, or this file system, can not is an answer and no failure.
pub(crate) fn given(answer: io::Result<()>) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(error.kind(), IoError::PermissionDenied | IoError::InvalidInput | IoError::Unsupported) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
