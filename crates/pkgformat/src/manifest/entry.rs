use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use pkgtypes::{Digest, Mode, ParseError, PkgPath, Timestamp};

/// One path of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes.
    pub path: PkgPath,
    /// What it is.
    pub kind: EntryKind,
    /// Its owner; `root` for hard links and ghosts.
    pub owner: Principal,
    /// Its group; `root` for hard links and ghosts.
    pub group: Principal,
    /// When its content changed; [`Timestamp::EPOCH`] for hard links and ghosts.
    pub mtime: Timestamp,
    /// Extended attributes, of files and dirs only; a [`Manifest`](crate::Manifest) has them sorted by name.
    pub xattrs: Vec<Xattr>,
    /// What it is used for, of files and dirs only.
    pub uses: BTreeSet<Use>,
}

impl Entry {
    /// An entry of root's, with time 0, nothing else said.
    pub fn new(path: PkgPath, kind: EntryKind) -> Self {
        Self {
            path,
            kind,
            owner: Principal::ROOT,
            group: Principal::ROOT,
            mtime: Timestamp::EPOCH,
            xattrs: Vec::new(),
            uses: BTreeSet::new(),
        }
    }

    /// Sorts what has an order and drops what says nothing, so that equal content is equal.
    pub(super) fn normalise(&mut self) {
        self.xattrs.sort();
        self.xattrs.dedup();
        if let EntryKind::File { elf, .. } = &mut self.kind {
            *elf = elf.take().filter(|facts| !facts.is_empty());
        }
    }
}

/// The type of an entry and what only this type has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file, the first of its hard links in manifest order.
    File {
        /// Permissions.
        mode: Mode,
        /// Length in bytes.
        size: u64,
        /// Digest of the content, which is a blob of the package.
        digest: Digest,
        /// What is known of an ELF file; [`ElfFacts::boxed`] makes it.
        elf: Option<Box<ElfFacts>>,
    },
    /// A folder.
    Dir {
        /// Permissions.
        mode: Mode,
    },
    /// A symbolic link.
    Symlink {
        /// What it says: any bytes without NUL, at least one.
        target: Vec<u8>,
    },
    /// One more name of a file.
    Hardlink {
        /// The path of that file's [`EntryKind::File`] entry, which stands before this one.
        target: PkgPath,
    },
    /// A named pipe.
    Fifo {
        /// Permissions.
        mode: Mode,
    },
    /// A socket.
    Socket {
        /// Permissions.
        mode: Mode,
    },
    /// A character device.
    Char {
        /// Permissions.
        mode: Mode,
        /// Major device number.
        major: u32,
        /// Minor device number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Permissions.
        mode: Mode,
        /// Major device number.
        major: u32,
        /// Minor device number.
        minor: u32,
    },
    /// A path that the package owns but does not ship.
    Ghost,
}

impl EntryKind {
    /// The type's name in a manifest: `file`, `dir`, ..
    pub fn name(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Dir { .. } => "dir",
            Self::Symlink { .. } => "symlink",
            Self::Hardlink { .. } => "hardlink",
            Self::Fifo { .. } => "fifo",
            Self::Socket { .. } => "socket",
            Self::Char { .. } => "char",
            Self::Block { .. } => "block",
            Self::Ghost => "ghost",
        }
    }

    /// The permissions, of the types that have some of their own.
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Self::File { mode, .. }
            | Self::Dir { mode }
            | Self::Fifo { mode }
            | Self::Socket { mode }
            | Self::Char { mode, .. }
            | Self::Block { mode, .. } => Some(*mode),
            Self::Symlink { .. } | Self::Hardlink { .. } | Self::Ghost => None,
        }
    }

    /// Its permissions, to be changed, for the types that have some.
    pub fn mode_mut(&mut self) -> Option<&mut Mode> {
        match self {
            Self::File { mode, .. }
            | Self::Dir { mode }
            | Self::Fifo { mode }
            | Self::Socket { mode }
            | Self::Char { mode, .. }
            | Self::Block { mode, .. } => Some(mode),
            Self::Symlink { .. } | Self::Hardlink { .. } | Self::Ghost => None,
        }
    }
}

/// What a program or library says of itself. Texts are UTF-8 without control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElfFacts {
    /// The name that programs ask for at run time.
    pub soname: Option<String>,
    /// The libraries it asks for, in its own order.
    pub needed: Vec<String>,
    /// The program that loads it.
    pub interpreter: Option<String>,
    /// The linker's mark of this very build, in lower case hex.
    pub build_id: Option<String>,
}

impl ElfFacts {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The facts as an entry holds them: `None` where nothing is known. Few files have any, and an entry without them
    /// is half as large.
    pub fn boxed(self) -> Option<Box<Self>> {
        if self.is_empty() { None } else { Some(Box::new(self)) }
    }
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// Its name, 1 to 255 bytes without NUL, with its namespace: `user.mime_type`.
    pub name: Vec<u8>,
    /// Its value, any bytes.
    pub value: Vec<u8>,
}

/// What a file or dir is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Configuration, which the administrator edits.
    Config,
    /// Documentation.
    Doc,
    /// A licence text.
    License,
    /// May change after installation.
    Mutable,
}

impl Use {
    /// All uses, sorted by their text.
    pub const ALL: [Self; 4] = [Self::Config, Self::Doc, Self::License, Self::Mutable];

    /// The text in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Doc => "doc",
            Self::License => "license",
            Self::Mutable => "mutable",
        }
    }
}

impl FromStr for Use {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| crate::text::invalid("use", text, "`config`, `doc`, `license` or `mutable` is expected"))
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An owner or group: a name, or a decimal id where there is no name.
///
/// ```
/// use pkgformat::Principal;
///
/// assert!("root".parse::<Principal>()?.is_root());
/// assert_eq!("1000".parse::<Principal>()?.id(), Some(1000));
/// assert!("007".parse::<Principal>().is_err());
/// # Ok::<(), pkgtypes::ParseError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal(Option<Box<str>>); // `None` is root, so that the common entry allocates nothing

impl Principal {
    /// The default.
    pub const ROOT: Self = Self(None);

    /// A name or decimal id.
    ///
    /// # Errors
    /// An empty or too long (over 255 bytes) text, control characters, `:` or `/` in it, digits that are no 32-bit
    /// number in its shortest form.
    pub fn new(text: &str) -> Result<Self, ParseError> {
        let error = |reason| crate::text::invalid("owner or group", text, reason);
        if text.is_empty() || text.len() > 255 {
            return Err(error("it must have 1 to 255 bytes"));
        }
        if text.chars().any(|c| c.is_control() || c == ':' || c == '/') {
            return Err(error("control characters, `:` and `/` may not stand in it"));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) && decimal_id(text).is_none() {
            return Err(error("an id is a 32-bit number without leading zeros"));
        }
        Ok(if text == "root" { Self::ROOT } else { Self(Some(text.into())) })
    }

    /// The principal with this id and no name.
    pub fn from_id(id: u32) -> Self {
        Self(Some(id.to_string().into()))
    }

    /// The name or the decimal id.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("root")
    }

    /// Whether this is `root`.
    pub fn is_root(&self) -> bool {
        self.0.is_none()
    }

    /// The id, where this is one and no name.
    pub fn id(&self) -> Option<u32> {
        self.0.as_deref().and_then(decimal_id)
    }
}

fn decimal_id(text: &str) -> Option<u32> {
    crate::text::decimal(text.as_bytes()).ok()
}

impl FromStr for Principal {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::new(text)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_a_name_or_an_id() {
        for good in ["root", "0", "www-data", "4294967295", "Domain Users", "_x", "1a", "0x"] {
            assert_eq!(good.parse::<Principal>().unwrap().as_str(), good);
        }
        for bad in ["", "00", "01", "4294967296", "a:b", "a/b", "a\n", &"a".repeat(256)] {
            assert!(bad.parse::<Principal>().is_err(), "{bad}");
        }
        assert_eq!(Principal::from_id(7).id(), Some(7));
        assert_eq!(Principal::ROOT.id(), None);
    }

    #[test]
    fn uses_are_sorted_as_their_text_is() {
        assert!(Use::ALL.is_sorted() && Use::ALL.is_sorted_by_key(|known| known.as_str()));
    }
}
