//! What is set when the content is there: owner, mode, attributes, time, in this order.

use std::fs::File;
use std::io;

use pkgformat::{Entry, EntryKind};
use pkgfs::{Error as DiskError, ErrorKind, FileKind, Place, Stat, fd};
use pkgtypes::Mode;

use super::{NotApplied, Ownership, UnpackOptions};
use crate::Result;

/// Sets what belongs to an entry besides its content, and keeps account of what can not be set.
#[derive(Debug)]
pub(super) struct Finisher<'a> {
    options: &'a UnpackOptions,
    is_superuser: bool,
    pub(super) not_applied: NotApplied,
}

impl<'a> Finisher<'a> {
    pub(super) fn new(options: &'a UnpackOptions) -> Self {
        Self { options, is_superuser: pkgfs::is_superuser(), not_applied: NotApplied::default() }
    }

    /// The permissions that an entry gets.
    pub(super) fn mode(&self, entry: &Entry) -> Mode {
        let mode = entry.kind.mode().unwrap_or(Mode::from_raw(0o777));
        let is_program = mode.bits() & 0o111 != 0 || matches!(entry.kind, EntryKind::Dir { .. });
        match (self.options.normalise, is_program) {
            (false, _) => mode,
            (true, true) => Mode::from_raw(0o755),
            (true, false) => Mode::from_raw(0o644),
        }
    }

    /// An open file or folder.
    pub(super) fn finish(&mut self, file: &File, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let error = |operation| move |error| DiskError::new(operation, place.full_path(), error);
        let now = fd::stat(file).map_err(error("look at"))?;
        if let Some((uid, gid)) = self.owner_to_set(entry, &now) {
            fd::set_owner(file, uid, gid).map_err(error("set the owner of"))?;
        }
        // Setid bits come now: the kernel would have taken them when the owner changed, or content was written.
        let mode = self.mode(entry);
        if mode != now.mode {
            fd::set_mode(file, mode).map_err(error("set the mode of"))?;
        }
        if !self.options.normalise {
            self.set_xattrs(file, place, entry)?;
        }
        fd::set_mtime(file, entry.mtime).map_err(error("set the time of"))?;
        Ok(())
    }

    /// A link or a special file, which can not be opened.
    pub(super) fn finish_unopened(&mut self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let Some(now) = place.stat()? else { return Ok(()) };
        if let Some((uid, gid)) = self.owner_to_set(entry, &now) {
            place.set_owner(uid, gid)?;
        }
        let mode = self.mode(entry);
        if now.kind != FileKind::Symlink && mode != now.mode {
            place.set_mode(mode)?;
        }
        place.set_mtime(entry.mtime)?;
        Ok(())
    }

    /// Makes a special file; says whether it could.
    pub(super) fn make_node(&mut self, place: &Place<'_>, entry: &Entry) -> Result<bool> {
        let (kind, device) = match entry.kind {
            EntryKind::Fifo { .. } => (FileKind::Fifo, (0, 0)),
            EntryKind::Socket { .. } => (FileKind::Socket, (0, 0)),
            EntryKind::Char { major, minor, .. } => (FileKind::Char, (major, minor)),
            EntryKind::Block { major, minor, .. } => (FileKind::Block, (major, minor)),
            _ => return Ok(false),
        };
        if self.options.normalise {
            return Ok(false);
        }
        let private = Mode::from_raw(0o600);
        match place.create_node(kind, private, device) {
            Ok(()) => self.finish_unopened(place, entry).map(|()| true),
            Err(error) if error.kind == ErrorKind::Denied && matches!(kind, FileKind::Char | FileKind::Block) => {
                self.not_applied.devices.push(entry.path.clone());
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Owner and group, where they have to change.
    fn owner_to_set(&mut self, entry: &Entry, now: &Stat) -> Option<(u32, u32)> {
        if self.options.normalise {
            return None;
        }
        let Ownership::Set(names) = &self.options.ownership else {
            let is_met = self.is_superuser && entry.owner.is_root() && entry.group.is_root();
            self.not_applied.owners += u64::from(!is_met);
            return None;
        };
        let (uid, gid) = (names.user_id(&entry.owner), names.group_id(&entry.group));
        if uid.is_none() || gid.is_none() {
            self.not_applied.owners += 1;
        }
        let wanted = (uid.unwrap_or(now.uid), gid.unwrap_or(now.gid));
        (wanted != (now.uid, now.gid)).then_some(wanted)
    }

    fn set_xattrs(&mut self, file: &File, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let mut is_complete = true;
        for xattr in &entry.xattrs {
            match fd::set_xattr(file, &xattr.name, &xattr.value) {
                Ok(()) => {}
                Err(error) if is_refusal(&error) => is_complete = false,
                Err(error) => {
                    return Err(DiskError::new("set an extended attribute of", place.full_path(), error).into());
                }
            }
        }
        if !is_complete {
            self.not_applied.attributes.push(entry.path.clone());
        }
        Ok(())
    }
}

/// The user may not, or the file system can not.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}
