use pkgtypes::{Mode, Timestamp};
use rustix::fs::FileType;

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket's name.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// What the file system knows of a name, the link itself when it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The type.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: Mode,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes; of a link, that of its target.
    pub size: u64,
    /// Bytes that the disk gave out for it.
    pub allocated: u64,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of content or inode; nobody can set it.
    pub ctime: Timestamp,
    /// Number of names.
    pub nlink: u64,
    /// Inode number.
    pub ino: u64,
    /// The device the name is on.
    pub dev: u64,
    /// Major and minor number of a device file.
    pub rdev: (u32, u32),
}

impl Stat {
    /// Whether both describe the same file, unchanged in between.
    pub fn is_unchanged(&self, later: &Self) -> bool {
        (self.dev, self.ino, self.size, self.mtime, self.ctime)
            == (later.dev, later.ino, later.size, later.mtime, later.ctime)
    }
}

impl FileKind {
    /// The word for it, as package manifests have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Char => "char",
            Self::Block => "block",
        }
    }

    pub(crate) fn from_raw(raw: u32) -> Self {
        match FileType::from_raw_mode(raw) {
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::Char,
            FileType::BlockDevice => Self::Block,
            FileType::RegularFile | FileType::Unknown => Self::File,
        }
    }
}

impl From<rustix::fs::Stat> for Stat {
    #[expect(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
    fn from(raw: rustix::fs::Stat) -> Self {
        let time = |seconds, nanos| Timestamp::new(seconds, nanos).unwrap_or(Timestamp::from_seconds(seconds));
        Self {
            kind: FileKind::from_raw(raw.st_mode),
            mode: Mode::from_raw(raw.st_mode),
            uid: raw.st_uid,
            gid: raw.st_gid,
            size: u64::try_from(raw.st_size).unwrap_or(0),
            allocated: (raw.st_blocks as u64).saturating_mul(512),
            mtime: time(raw.st_mtime as i64, raw.st_mtime_nsec as u32),
            ctime: time(raw.st_ctime as i64, raw.st_ctime_nsec as u32),
            nlink: raw.st_nlink as u64,
            ino: raw.st_ino as u64,
            dev: raw.st_dev as u64,
            rdev: (rustix::fs::major(raw.st_rdev), rustix::fs::minor(raw.st_rdev)),
        }
    }
}
