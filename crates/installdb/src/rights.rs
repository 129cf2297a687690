use pkgformat::Entry;
use pkgfs::{Root, Stat};
use pkgtypes::Mode;

use crate::accounts::principals::Principals;
use crate::error::Result;
use crate::{Ownership, Unset};

/// What the calling user can give to files, and the names that the root knows.
#[derive(Debug)]
pub(crate) struct Rights {
    principals: Principals,
    uid: u32,
    gid: u32,
}

/// What a path gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The permissions.
    pub(crate) mode: Mode,
    /// Owner and group to be set; `None` where they are left as they come.
    pub(crate) owner: Option<(u32, u32)>,
    /// What is not given.
    pub(crate) unset: Unset,
}

impl Rights {
    pub(crate) fn load(root: &Root) -> Result<Self> {
        Principals::load(root).map(Self::new)
    }

    pub(crate) fn new(principals: Principals) -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { principals, uid, gid }
    }

    /// Root may give files away and make devices.
    pub(crate) fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether this user may set the permissions of what is there.
    pub(crate) fn may_set(&self, stat: &Stat) -> bool {
        self.is_root() || stat.uid == self.uid
    }

    /// The ids of an entry's owner and group; `Err` says which of both the root does not know.
    pub(crate) fn owner(&self, entry: &Entry) -> Result<(u32, u32), &'static str> {
        let uid = self.principals.user(&entry.owner).ok_or("user")?;
        Ok((uid, self.principals.group(&entry.group).ok_or("group")?))
    }

    /// What the root calls this user and this group.
    pub(crate) fn names(&self, uid: u32, gid: u32) -> Ownership {
        Ownership { user: self.principals.user_name(uid), group: self.principals.group_name(gid) }
    }

    /// The permissions that an entry should have on the disk; `None` where the type or the file system has none of its own.
    pub(crate) fn expected_mode(entry: &Entry, unset: Unset) -> Option<Mode> {
        entry
            .kind
            .mode()
            .filter(|_| !unset.contains(Unset::MODE))
            .map(|mode| if unset.contains(Unset::SETID) { plain(mode) } else { mode })
    }

    /// What the entry gets from this user.
    pub(crate) fn grant(&self, entry: &Entry) -> Grant {
        let mode = entry.kind.mode().unwrap_or(Mode::from_raw(0o777));
        let owner = self.owner(entry).ok();
        if self.is_root() {
            let unset = if owner.is_some() { Unset::NOTHING } else { Unset::OWNER };
            return Grant { mode: if owner.is_some() { mode } else { plain(mode) }, owner, unset };
        }
        if owner == Some((self.uid, self.gid)) {
            return Grant { mode, owner: None, unset: Unset::NOTHING };
        }
        let unset = if mode == plain(mode) { Unset::OWNER } else { Unset::OWNER | Unset::SETID };
        Grant { mode: plain(mode), owner: None, unset }
    }
}

/// Without the right owner, setid bits would lend the rights of the wrong one.
pub(crate) fn plain(mode: Mode) -> Mode {
    Mode::from_raw(mode.bits() & !Mode::SETID)
}
