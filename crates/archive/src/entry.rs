use pkgtypes::{Mode, PkgPath, Timestamp};

/// One thing in an archive, in words that every container shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes, below the folder that is unpacked into.
    pub path: PkgPath,
    /// What it is.
    pub kind: EntryKind,
    /// Its permission bits as the archive has them, setid bits and all.
    pub mode: Mode,
    /// When it was changed.
    pub mtime: Timestamp,
    /// Its owner's number.
    pub uid: u64,
    /// Its group's number.
    pub gid: u64,
    /// Its owner's name, where the archive has it.
    pub user: Option<String>,
    /// Its group's name, where the archive has it.
    pub group: Option<String>,
    /// Its extended attributes: names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file; its data come with the entry.
    File {
        /// Bytes of its data, holes filled.
        size: u64,
    },
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink {
        /// Its target, as it is.
        target: Vec<u8>,
    },
    /// Another name of a file that came earlier.
    Hardlink {
        /// That file.
        target: PkgPath,
    },
    /// A character device.
    Char {
        /// Major and minor number.
        device: (u32, u32),
    },
    /// A block device.
    Block {
        /// Major and minor number.
        device: (u32, u32),
    },
    /// A named pipe.
    Fifo,
}

/// How to read an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Folders dropped from the beginning of every path; an entry without that many is passed over.
    pub strip: u32,
    /// How much may be in it.
    pub limits: Limits,
}

impl Options {
    /// Default limits, and `strip` folders dropped.
    pub fn stripping(strip: u32) -> Self {
        Self { strip, limits: Limits::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::stripping(0)
    }
}

/// How much may be in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of the headers of one entry: long names, attributes, maps of holes.
    pub header: u64,
}

impl Default for Limits {
    /// Four million entries, 64 GiB, 1 MiB of headers an entry.
    fn default() -> Self {
        Self { entries: 4 << 20, bytes: 64 << 30, header: 1 << 20 }
    }
}
