use pkgtypes::{ParseError, PkgPath};

use crate::Interference;
use crate::accounts::account_file::Attributes;
use crate::kept::Keeping;
use crate::step::{Step, staged_path};

/// What becomes of a path on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What is there stays: a folder, or a file that the administrator changed.
    Stays,
    /// Nothing is put there.
    Absent,
    /// It is staged, as the whole of a [`Staging`] or as a part of it.
    Staged(usize),
}

/// One thing that is staged and renamed.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The number of its step.
    pub(crate) step: usize,
    /// Where it is renamed to.
    pub(crate) target: PkgPath,
    pub(crate) what: What,
}

/// What is staged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A node, with all nodes below it.
    Tree,
    /// A node under another name than its own, because the administrator's stays.
    Beside(usize),
    /// One more name for a file on the disk, under which it survives.
    Save(PkgPath),
    /// A file that no package has.
    Made,
}

/// Something that no package has and the transaction makes, as the whole of a [`Staging`] or as a part of it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) path: PkgPath,
    pub(crate) staging: usize,
    pub(crate) content: MadeContent,
}

#[derive(Debug)]
pub(crate) enum MadeContent {
    /// A folder that is missing for the files.
    Folder,
    File {
        content: Vec<u8>,
        attributes: Attributes,
    },
}

/// How the transaction is carried out on the disk.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) steps: Vec<Step>,
    pub(crate) stagings: Vec<Staging>,
    /// One for each node of the tree.
    pub(crate) fates: Vec<Fate>,
    /// A folder before what is in it.
    pub(crate) made: Vec<Made>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) keeping: Keeping,
}

impl Layout {
    /// Where `path` stands while staging number `index` of transaction `txn` is not placed yet.
    pub(crate) fn staged(&self, index: usize, path: &PkgPath, txn: i64) -> Result<PkgPath, ParseError> {
        let Staging { step, target, what } = &self.stagings[index];
        let top = staged_path(target, txn, *step)?;
        match what {
            What::Tree => PkgPath::new([top.as_bytes(), &path.as_bytes()[target.as_bytes().len()..]].concat()),
            What::Beside(_) | What::Save(_) | What::Made => Ok(top),
        }
    }
}

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
        package: pkgtypes::PackageName,
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
        package: pkgtypes::PackageName,
    },
    /// A user became a member of a group, because a package needs it.
    MemberAdded {
        /// The user.
        user: String,
        /// The group.
        group: String,
        /// The package.
        package: pkgtypes::PackageName,
    },
    /// What the change takes away is more than is kept for an undo, or than there is room for.
    NotKept {
        /// How many bytes.
        bytes: u64,
    },
    /// Something that no package owned gives way to a package's, because that was asked for. It is not kept.
    Replaced {
        /// The path.
        path: PkgPath,
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
        other: pkgtypes::PackageName,
    },
    /// Somebody else changed the root between the decision and the end.
    Interference(Interference),
}
