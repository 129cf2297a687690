use pkgtypes::{Mode, PackageName, PkgPath};

use crate::{Interference, NotGiven};

/// Something that the user should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A configuration file was changed by the administrator and by the package: his stays, the package's is beside it.
    NewBeside {
        /// The file.
        path: PkgPath,
        /// The package's version of it.
        new: PkgPath,
    },
    /// A configuration file that the administrator changed survives its package.
    Saved {
        /// The file.
        path: PkgPath,
        /// Where it is now.
        saved: PkgPath,
    },
    /// A script or a trigger failed after the change.
    ScriptFailed {
        /// The package.
        package: PackageName,
        /// Which script: `post-install`, `post-remove`, `trigger`, or a name that a foreign package has for it.
        stage: String,
        /// A trigger's command.
        command: Option<String>,
        /// How it ended, and what it said last.
        failure: String,
        /// Whether it is still to be run; not where what it needs went along with its package.
        stays: bool,
    },
    /// Scripts have not run yet, because somebody asked to stop; the next one who opens the database runs them.
    ScriptsLeft {
        /// How many.
        count: usize,
    },
    /// A user or a group was made, which a package needs.
    AccountMade {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The number.
        id: u32,
        /// The package.
        package: PackageName,
    },
    /// A user became a member of a group, because a package needs it.
    MemberAdded {
        /// The user.
        user: String,
        /// The group.
        group: String,
        /// The package.
        package: PackageName,
    },
    /// What the change takes away is more than is kept for an undo, or than there is room for.
    NotKept {
        /// How many bytes.
        bytes: u64,
    },
    /// What this user or the file system can not give to paths that came. It is recorded, and no difference afterwards.
    NotGiven(Vec<NotGiven>),
    /// The disk is so full that nothing is kept for an undo: it needs package files.
    PastLeftOut,
    /// A folder that no package owned gets the permissions and the owner that a package wants.
    FolderTaken {
        /// The folder.
        path: PkgPath,
        /// The package.
        package: PackageName,
        /// The permissions that it has until then.
        mode: Mode,
        /// Its user and group until then.
        owner: (u32, u32),
    },
    /// Something that no package owned gives way to a package's, because that was asked for.
    Replaced {
        /// The path.
        path: PkgPath,
        /// Whether it is kept, so that an undo brings it back.
        kept: bool,
    },
    /// What stood there before a package's took its place comes back, or stays where it never went.
    CameBack {
        /// The path.
        path: PkgPath,
    },
    /// What stood there before a package's took its place does not come back.
    NotBack {
        /// The path.
        path: PkgPath,
        /// Why.
        why: NotBack,
    },
    /// Something of another type stands where the package had put something; it was left alone.
    LeftAlone {
        /// The path.
        path: PkgPath,
    },
    /// What a package goes without stays, because another one has the same place under another name, through a link.
    Others {
        /// Where it is.
        path: PkgPath,
        /// The other's name for it.
        other_path: PkgPath,
        /// The other package.
        other: PackageName,
    },
    /// Somebody else changed the root between the decision and the end.
    Interference(Interference),
}

/// Why something does not come back to where it was before a package's took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotBack {
    /// It is not kept, or not any more.
    Lost,
    /// A package owns the path. It stays kept.
    Owned,
    /// Something else stands there, or in the place of a folder on the way. It stays kept.
    Occupied,
}
