use std::ops::BitOr;

use pkgtypes::{PackageName, PkgPath};

/// What the installing user could not give to a path, and what is therefore no difference afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unset(u8);

impl Unset {
    /// Everything is as the package says.
    pub const NOTHING: Self = Self(0);
    /// Owner and group.
    pub const OWNER: Self = Self(1);
    /// The setid bits: without the right owner they would say something else.
    pub const SETID: Self = Self(2);
    /// Extended attributes, capabilities among them.
    pub const XATTRS: Self = Self(4);
    /// The whole path: a device that only root may make.
    pub const DEVICE: Self = Self(8);

    /// The permissions: the file system has its own for all files, and may not even say so.
    pub const MODE: Self = Self(16);

    /// Whether all of `other` is in this.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// A word for each thing; of a device that is not there, no more than that.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let words = [(Self::OWNER, "owner"), (Self::SETID, "setid"), (Self::MODE, "mode"), (Self::XATTRS, "xattrs")];
        let device = self.contains(Self::DEVICE);
        let rest = words.into_iter().filter(move |(what, _)| !device && self.contains(*what));
        device.then_some("device").into_iter().chain(rest.map(|(_, word)| word))
    }

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    pub(crate) fn from_bits(bits: u8) -> Self {
        Self(bits & 31)
    }
}

/// A node of the transaction, and what could not be given to it.
pub(crate) type Missing = (usize, Unset);

/// A path, and what could not be given to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotGiven {
    /// The package.
    pub package: PackageName,
    /// The path, as its package names it.
    pub path: PkgPath,
    /// What is not given.
    pub what: Unset,
}

impl BitOr for Unset {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
