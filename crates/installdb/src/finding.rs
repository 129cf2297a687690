use std::fmt;

use pkgtypes::{Arch, PackageName, PkgPath, Requirement};

/// A reason not to begin a transaction, found before anything was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Two packages put different things at one path.
    Conflict {
        /// The path.
        path: PkgPath,
        /// The one package.
        first: PackageName,
        /// The other.
        second: PackageName,
        /// In what they differ.
        difference: &'static str,
    },
    /// Something that no package owns stands where a package puts something else.
    Unowned {
        /// The path.
        path: PkgPath,
        /// The package.
        package: PackageName,
    },
    /// A folder that no package owns stands where a package puts something else. It is never replaced.
    UnownedFolder {
        /// The path.
        path: PkgPath,
        /// The package.
        package: PackageName,
    },
    /// A folder is needed where something else stands.
    NotAFolder {
        /// The path.
        path: PkgPath,
        /// The package that needs the folder.
        package: PackageName,
    },
    /// A folder is needed where a symbolic link stands that is not followed.
    SymlinkInTheWay {
        /// The path.
        path: PkgPath,
        /// The package that needs the folder.
        package: PackageName,
        /// Why it is not.
        problem: LinkProblem,
    },
    /// Two paths are one place, because a symbolic link is followed on the way to one of them.
    SamePlace {
        /// The one path.
        path: PkgPath,
        /// The package that has it.
        package: PackageName,
        /// The other path.
        other_path: PkgPath,
        /// The package that has that.
        other: PackageName,
    },
    /// A folder stands where a package puts something else, and it does not become empty.
    FolderInTheWay {
        /// The path.
        path: PkgPath,
        /// The package.
        package: PackageName,
        /// Something in the folder that stays.
        kept: PkgPath,
    },
    /// The package has paths that are ours alone.
    Reserved {
        /// The path.
        path: PkgPath,
        /// The package.
        package: PackageName,
    },
    /// A symbolic link leads from the path to where the root says whom it trusts, which the package does not name.
    TrustByDetour {
        /// The path.
        path: PkgPath,
        /// The package.
        package: PackageName,
        /// Where it would come to stand.
        place: PkgPath,
    },
    /// Nobody of this name is known in the root.
    UnknownPrincipal {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The package that gives paths to it.
        package: PackageName,
    },
    /// A line of `sysuser` or `sysgroup` can not be carried out.
    BadAccount {
        /// The package.
        package: PackageName,
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two packages want a user or a group with different numbers.
    AccountClash {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The one package.
        first: PackageName,
        /// The other.
        second: PackageName,
    },
    /// The number that a package wants for a user or a group is somebody else's.
    IdTaken {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
        /// The number.
        id: u32,
        /// Whose it is.
        other: String,
        /// The package.
        package: PackageName,
    },
    /// No number is left for a user or a group.
    NoFreeId {
        /// The name.
        name: String,
        /// The package.
        package: PackageName,
    },
    /// A file with users or groups comes or goes with a package, in a transaction that adds to it.
    AccountFile {
        /// The file.
        path: PkgPath,
        /// The package it comes or goes with.
        package: PackageName,
    },
    /// What runs a script is not in the root: before the change for a script that comes before it, after it for another.
    NoInterpreter {
        /// The package.
        package: PackageName,
        /// Which script.
        stage: String,
        /// What its first line names.
        interpreter: PkgPath,
        /// `before` or `after` the change.
        moment: &'static str,
    },
    /// The pattern of a trigger is none.
    BadTrigger {
        /// The package.
        package: PackageName,
        /// The pattern.
        glob: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The package's programs are for another machine.
    ForeignArch {
        /// The package.
        package: PackageName,
        /// Its architecture.
        arch: Arch,
    },
    /// A number in the package is larger than the database can hold.
    TooLarge {
        /// The package.
        package: PackageName,
        /// Which number.
        what: &'static str,
    },
    /// A changed configuration file whose name has no room for what is to lie beside it.
    LongName {
        /// The package.
        package: PackageName,
        /// The file.
        path: PkgPath,
        /// What its name would end with.
        ending: &'static str,
    },
    /// A package can not come back, because something of it was not kept and is nowhere else.
    NotKept {
        /// The package.
        package: PackageName,
        /// A file whose content is missing; `None` where nothing is known of the package any more.
        path: Option<PkgPath>,
        /// How many more contents are missing.
        more: usize,
        /// The user who has that file's content among what is kept, and who alone can read it there.
        keeper: Option<u32>,
    },
    /// The file system has too little space.
    NoSpace {
        /// A path on the file system; `None` is the root's top.
        path: Option<PkgPath>,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The file system has too few inodes.
    NoInodes {
        /// A path on the file system; `None` is the root's top.
        path: Option<PkgPath>,
        /// Inodes that are needed.
        needed: u64,
        /// Inodes that are free.
        free: u64,
    },
    /// The file system is mounted read-only.
    ReadOnly {
        /// A path on it; `None` is the root's top.
        path: Option<PkgPath>,
    },
    /// The kernel holds on to what would be replaced, removed, or given other attributes.
    Held {
        /// The path.
        path: PkgPath,
        /// Why.
        hold: pkgfs::Hold,
    },
    /// The folder takes two names for one: of two paths that come, or of one that comes and one that stands.
    OneName {
        /// The one path.
        path: PkgPath,
        /// The other, in the same folder.
        other: PkgPath,
    },
    /// The file system takes no such name.
    NameNotTaken {
        /// The path.
        path: PkgPath,
    },
    /// The user may not change this folder, or this path in a folder that keeps what belongs to others.
    Denied {
        /// The folder or path; `None` is the root's top.
        path: Option<PkgPath>,
    },
}

/// Why a symbolic link in the place of a folder is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkProblem {
    /// It came with a package, so it is not the administrator's.
    Brought {
        /// The package.
        package: PackageName,
    },
    /// It belongs neither to root nor to the calling user.
    Stranger {
        /// Whose it is.
        uid: u32,
    },
    /// It leads out of the root.
    Outside,
    /// It leads to nothing.
    Dangling,
    /// It leads to something that is no folder.
    NotAFolder,
    /// It leads in a circle, or to the root's top.
    Loop,
    /// What it leads to can not be looked at.
    Unreadable,
    /// It leads to the folder that is ours alone.
    Ours,
    /// It came when it was looked for links already.
    New,
}

impl fmt::Display for LinkProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brought { package } => write!(f, "it came with `{package}`, and packages' links are not followed"),
            Self::Stranger { uid } => {
                write!(f, "it belongs to user {uid}, and only links of root and your own are followed (`chown -h`)")
            }
            Self::Outside => {
                f.write_str("it leads out of the root: let it lead to a folder inside, or mount that there")
            }
            Self::Dangling => f.write_str("it leads to nothing in the root: make the folder that it leads to"),
            Self::NotAFolder => f.write_str("it leads to something that is no folder"),
            Self::Loop => f.write_str("it leads in a circle: put a folder in its place"),
            Self::Unreadable => f.write_str("what it leads to can not be looked at"),
            Self::Ours => f.write_str("it leads to the package manager's own folder: put a folder in its place"),
            Self::New => f.write_str("it is new: try again"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { path, first, second, difference } => {
                write!(f, "/{path} is in `{first}` and in `{second}` with another {difference}")
            }
            Self::Unowned { path, package } => {
                write!(f, "/{path} of `{package}` exists, and no package owns it")
            }
            Self::UnownedFolder { path, package } => {
                write!(f, "/{path} of `{package}` is a folder that no package owns, and stays: move it away")
            }
            Self::NotAFolder { path, package } => {
                write!(f, "`{package}` needs a folder at /{path}, where something else stands")
            }
            Self::SymlinkInTheWay { path, package, problem } => write!(
                f,
                "`{package}` needs a folder at /{path}, where a symbolic link stands that is not followed: {problem}"
            ),
            Self::SamePlace { path, package, other_path, other } => write!(
                f,
                "/{path} of `{package}` and /{other_path} of `{other}` are one place, because a symbolic link leads from one to the other"
            ),
            Self::FolderInTheWay { path, package, kept } => {
                write!(f, "/{path} of `{package}` is a folder with /{kept} in it, which stays")
            }
            Self::Reserved { path, package } => {
                write!(f, "/{path} of `{package}` is a name that only the package manager itself may use")
            }
            Self::TrustByDetour { path, package, place } => write!(
                f,
                "/{path} of `{package}` would come to stand at /{place}, where the root says whom it trusts, by a symbolic link: a package has to name that place"
            ),
            Self::UnknownPrincipal { what, name, package } => {
                write!(f, "{what} `{name}`, to which `{package}` gives files, is not known in the root")
            }
            Self::BadAccount { package, line, reason } => {
                write!(f, "`{package}` wants the user or group `{}`: {reason}", line.escape_debug())
            }
            Self::AccountClash { what, name, first, second } => {
                write!(f, "`{first}` and `{second}` want the {what} `{name}` with different numbers")
            }
            Self::IdTaken { what, name, id, other, package } => {
                write!(f, "`{package}` wants the {what} `{name}` with number {id}, which is that of `{other}`")
            }
            Self::NoFreeId { name, package } => {
                write!(f, "no number from 100 to 999 is free for `{name}`, which `{package}` wants")
            }
            Self::AccountFile { path, package } => write!(
                f,
                "/{path} comes or goes with `{package}`, and other packages want users or groups in it: change `{package}` by itself first"
            ),
            Self::NoInterpreter { package, stage, interpreter, moment } => write!(
                f,
                "the {stage} script of `{package}` is run by /{interpreter}, which is not in the root {moment} the change"
            ),
            Self::BadTrigger { package, glob, reason } => {
                write!(f, "`{package}` has a trigger for `{}`: {reason}", glob.escape_debug())
            }
            Self::ForeignArch { package, arch } => {
                write!(f, "`{package}` is for {arch}, and this machine is {}", Arch::host())
            }
            Self::TooLarge { package, what } => write!(f, "the {what} of `{package}` is too large for the database"),
            Self::LongName { package, path, ending } => write!(
                f,
                "/{path} of `{package}` was changed, and its name is too long to keep a version beside it with `{ending}`: rename it first"
            ),
            Self::NotKept { package, path: None, .. } => {
                write!(f, "`{package}` can not be brought back: its record is not kept any more")
            }
            Self::NotKept { package, path: Some(path), more, keeper } => {
                write!(f, "`{package}` can not be brought back: the content of /{path}")?;
                let others = if *more > 0 { format!(" and of {more} more") } else { String::new() };
                match keeper {
                    None => write!(f, "{others} is nowhere to be found"),
                    Some(uid) => write!(f, "{others} is kept by user {uid}, and you may not read it"),
                }
            }
            Self::NoSpace { path, needed, free } => {
                write!(f, "{needed} bytes are needed on the file system of {}, {free} are free", Folder(path.as_ref()))
            }
            Self::NoInodes { path, needed, free } => {
                write!(f, "{needed} inodes are needed on the file system of {}, {free} are free", Folder(path.as_ref()))
            }
            Self::ReadOnly { path } => write!(f, "the file system of {} is read-only", Folder(path.as_ref())),
            Self::Held { path, hold: pkgfs::Hold::MountPoint } => {
                write!(f, "something is mounted on /{path}, which has to be replaced or removed: unmount it first")
            }
            Self::Held { path, hold: pkgfs::Hold::Immutable } => {
                write!(f, "/{path} is immutable or append-only: `chattr -ia` makes it one that can be changed")
            }
            Self::OneName { path, other } => {
                write!(
                    f,
                    "/{path} and /{other} are one name in that folder, which takes no notice of case and the like"
                )
            }
            Self::NameNotTaken { path } => write!(f, "the file system of /{path} takes no such name"),
            Self::Denied { path } => write!(f, "you may not change {}", Folder(path.as_ref())),
        }
    }
}

struct Folder<'a>(Option<&'a PkgPath>);

impl fmt::Display for Folder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "/{path}"),
            None => write!(f, "/"),
        }
    }
}

/// A relation between packages that would not hold after a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unmet {
    /// Nothing installed satisfies a requirement.
    Requirement {
        /// The package that requires.
        package: PackageName,
        /// What it requires.
        requirement: Requirement,
    },
    /// Two packages exclude each other.
    Conflict {
        /// The package that excludes.
        package: PackageName,
        /// The relation in which it says so.
        relation: pkgtypes::Relation,
        /// The package that is excluded.
        other: PackageName,
    },
    /// A package takes the place of another one, which would stay.
    Obsolete {
        /// The package that takes the place.
        package: PackageName,
        /// The package that has to go.
        other: PackageName,
    },
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requirement { package, requirement } => write!(f, "`{package}` requires `{requirement}`"),
            Self::Conflict { package, relation, other } => {
                write!(f, "`{package}` excludes `{relation}`, which `{other}` is")
            }
            Self::Obsolete { package, other } => {
                write!(f, "`{package}` takes the place of `{other}`: remove that in the same step")
            }
        }
    }
}
