//! What is set when the content is there: owner, mode, attributes, time, in this order.

use std::fs::File;
use std::io;

use pkgformat::{Entry, EntryKind, Principal, Xattr};
use pkgfs::{Error as DiskError, ErrorKind, FileKind, Place, Stat, fd};
use pkgtypes::Mode;

use super::{NotApplied, Ownership, UnpackOptions};
use crate::Result;
use crate::attributes::CAPABILITY;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// Whether a path belongs to whom its package says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Belongs {
    to_owner: bool,
    to_group: bool,
}

impl Belongs {
    fn to_both(self) -> bool {
        self.to_owner && self.to_group
    }

    /// The permissions without the right to run as somebody whom the package did not name.
    fn limit(self, mode: Mode) -> Mode {
        let setuid = if self.to_owner { 0 } else { SETUID };
        let setgid = if self.to_group { 0 } else { SETGID };
        Mode::from_raw(mode.bits() & !(setuid | setgid))
    }
}

/// Sets what belongs to an entry besides its content, and keeps account of what can not be set.
#[derive(Debug)]
pub(super) struct Finisher<'a> {
    options: &'a UnpackOptions,
    pub(super) not_applied: NotApplied,
}

impl<'a> Finisher<'a> {
    pub(super) fn new(options: &'a UnpackOptions) -> Self {
        Self { options, not_applied: NotApplied::default() }
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
        let (owner, belongs) = self.owner_to_set(entry, &now);
        if let Some((uid, gid)) = owner {
            fd::set_owner(file, uid, gid).map_err(error("set the owner of"))?;
        }
        // Setid bits come now: the kernel would have taken them when the owner changed, or content was written.
        let mode = belongs.limit(self.mode(entry));
        if mode != now.mode {
            fd::set_mode(file, mode).map_err(error("set the mode of"))?;
        }
        if !self.options.normalise {
            self.set_xattrs(file, place, entry, belongs)?;
        }
        fd::set_mtime(file, entry.mtime).map_err(error("set the time of"))?;
        Ok(())
    }

    /// A link or a special file, which can not be opened.
    pub(super) fn finish_unopened(&mut self, place: &Place<'_>, entry: &Entry) -> Result<()> {
        let Some(now) = place.stat()? else { return Ok(()) };
        let (owner, belongs) = self.owner_to_set(entry, &now);
        if let Some((uid, gid)) = owner {
            place.set_owner(uid, gid)?;
        }
        let mode = belongs.limit(self.mode(entry));
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

    /// Owner and group, where they have to change, and whether they are the package's then.
    fn owner_to_set(&mut self, entry: &Entry, now: &Stat) -> (Option<(u32, u32)>, Belongs) {
        if self.options.normalise {
            return (None, Belongs { to_owner: true, to_group: true });
        }
        let (uid, gid) = self.ids(entry);
        let then = match self.options.ownership {
            Ownership::Mine => (now.uid, now.gid),
            Ownership::Set(_) => (uid.unwrap_or(now.uid), gid.unwrap_or(now.gid)),
        };
        let belongs = Belongs { to_owner: uid == Some(then.0), to_group: gid == Some(then.1) };
        self.not_applied.owners += u64::from(!belongs.to_both());
        if is_limited(entry, self.mode(entry), belongs) {
            self.not_applied.special.push(entry.path.clone());
        }
        ((then != (now.uid, now.gid)).then_some(then), belongs)
    }

    /// The numbers of an entry's owner and group, as far as they are known.
    fn ids(&self, entry: &Entry) -> (Option<u32>, Option<u32>) {
        let number = |principal: &Principal| if principal.is_root() { Some(0) } else { principal.id() };
        match &self.options.ownership {
            Ownership::Mine => (number(&entry.owner), number(&entry.group)),
            Ownership::Set(names) => (names.user_id(&entry.owner), names.group_id(&entry.group)),
        }
    }

    fn set_xattrs(&mut self, file: &File, place: &Place<'_>, entry: &Entry, belongs: Belongs) -> Result<()> {
        let mut is_complete = true;
        for xattr in entry.xattrs.iter().filter(|xattr| belongs.to_both() || !is_capability(xattr)) {
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

fn is_capability(xattr: &Xattr) -> bool {
    xattr.name == CAPABILITY
}

/// Whether an entry loses a special right with its owner or group.
fn is_limited(entry: &Entry, mode: Mode, belongs: Belongs) -> bool {
    let is_capable = !belongs.to_both() && entry.xattrs.iter().any(is_capability);
    // The mode of a link means nothing.
    is_capable || (entry.kind.mode().is_some() && belongs.limit(mode) != mode)
}

/// The user may not, or the file system can not.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}
