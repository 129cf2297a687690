//! The description of a room: plain data.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Child, Error, Limits, Outcome, Stream};

/// The first host uid and gid that rooms of a root caller use when the caller names none (the range Nix reserves, too).
pub const DEFAULT_HOST_ID: u32 = 0x3400_0000;

/// Whether a tree can be written inside the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read only.
    Ro,
    /// Readable and writable.
    Rw,
    /// The same, and the devices in it work: those that a caller names, and no room has otherwise.
    Devices,
}

/// Whose a host file is inside the room when the caller is root.
///
/// For an ordinary caller there is no choice: files of the caller belong to [`Ids`], all others to nobody (65534).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// As for an ordinary caller: files of root belong to [`Ids`] inside, and what is written there belongs to root outside.
    /// Made by an id-mapped mount; what is mounted below the source is not visible. On a file system that has none (an overlay,
    /// NFS) files of root belong to nobody inside, the top of a writable source, if it is no device, is given to
    /// [`Room::host_id`], and so is what is written there.
    Caller,
    /// Unchanged: files of root belong to nobody inside, and their mode bits for "others" decide. What is mounted below the
    /// source is visible.
    Host,
}

/// Where an overlay puts what is written into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upper {
    /// Nowhere: the root is read-only.
    None,
    /// Into memory, at most `size` bytes; gone with the room.
    Tmpfs {
        /// Bytes.
        size: u64,
    },
    /// Into directories of the caller, which must stand in the same directory. Both are locked (`flock`) as long as the room is
    /// there: another room on one of them cannot start. The room's init holds the lock, too; where the caller is killed, it ends
    /// with that, an instant before everything else inside.
    Dir {
        /// Receives the changes.
        upper: PathBuf,
        /// Overlayfs' own scratch directory, empty.
        work: PathBuf,
    },
}

/// What is `/` inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Root {
    /// Directories laid over each other, the top one first.
    Overlay {
        /// Read-only trees; the first wins. At most 998 (overlayfs takes 500; more are laid over an overlay of the lower ones).
        layers: Vec<PathBuf>,
        /// Where changes go.
        upper: Upper,
    },
    /// One directory of the host. Where it is read-only and lacks mount points, the room has them all the same: by an overlay or, if
    /// other file systems are mounted in it, by a mount for each of its entries, of which there may be 400. For root that is
    /// not done where others may write: what is mounted in there does not show then.
    Dir {
        /// The directory.
        path: PathBuf,
        /// Whether it can be changed.
        access: Access,
        /// Whose its files are when the caller is root. [`Profile::Script`] always shows real owners.
        owner: Owner,
    },
    /// Nothing but the mount points; read-only.
    Empty,
}

impl Root {
    /// A read-only overlay of `layers`, the top one first.
    pub fn layers(layers: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self::Overlay { layers: layers.into_iter().map(Into::into).collect(), upper: Upper::None }
    }

    /// One directory whose files belong to the room.
    pub fn dir(path: impl Into<PathBuf>, access: Access) -> Self {
        Self::Dir { path: path.into(), access, owner: Owner::Caller }
    }
}

/// One more mount inside, what mounts are put on, or a change of what is there by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mount {
    /// A file or directory of the host.
    Bind {
        /// On the host, absolute.
        source: PathBuf,
        /// In the room, absolute.
        target: PathBuf,
        /// Whether it can be written.
        access: Access,
        /// Whose its files are when the caller is root.
        owner: Owner,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// In the room, absolute.
        target: PathBuf,
        /// Bytes at most.
        size: u64,
        /// Mode bits of its top directory.
        mode: u32,
    },
    /// A directory, where there is none: in a root that is empty or made of layers, or in an earlier mount.
    Folder {
        /// In the room, absolute.
        target: PathBuf,
        /// Mode bits of it, if it is made.
        #[serde(default = "for_all")]
        mode: u32,
    },
    /// A file with these contents, written where it can be: into a root that is empty or writable, or an earlier mount. A file that
    /// is there already keeps its owner and mode.
    File {
        /// In the room, absolute.
        target: PathBuf,
        /// What is in it.
        contents: Vec<u8>,
        /// Mode bits of it, if it is made.
        mode: u32,
    },
    /// A file in memory with these contents, mounted; it can be anywhere. Needs [`Room::proc`].
    Data {
        /// In the room, absolute.
        target: PathBuf,
        /// What is in it. What the program adds is bounded by 1 MiB for all such files.
        contents: Vec<u8>,
        /// Mode bits of it.
        mode: u32,
        /// Whether it can be written.
        access: Access,
    },
    /// The message queues of the room (mqueue).
    Queues {
        /// In the room, absolute.
        target: PathBuf,
    },
    /// Other mode bits for what is there.
    Mode {
        /// In the room, absolute.
        target: PathBuf,
        /// The bits.
        mode: u32,
    },
    /// No more writing into the mount that is there, those below it apart.
    ReadOnly {
        /// In the room, absolute.
        target: PathBuf,
    },
    /// A symbolic link, in the same places. It is an error if another thing is there.
    Link {
        /// In the room, absolute.
        target: PathBuf,
        /// What it points to, as it stands in the link.
        to: PathBuf,
    },
}

impl Mount {
    /// Where it appears.
    pub fn target(&self) -> &Path {
        match self {
            Self::Bind { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Folder { target, .. }
            | Self::File { target, .. }
            | Self::Data { target, .. }
            | Self::Queues { target }
            | Self::Mode { target, .. }
            | Self::ReadOnly { target }
            | Self::Link { target, .. } => target,
        }
    }

    /// Whether something is mounted at its place.
    pub(crate) fn is_mounted(&self) -> bool {
        matches!(self, Self::Bind { .. } | Self::Tmpfs { .. } | Self::Data { .. } | Self::Queues { .. })
    }

    /// Whether the root must have something at its place beforehand, unless an earlier mount has.
    pub(crate) fn needs_place(&self) -> bool {
        self.is_mounted() || matches!(self, Self::Folder { .. } | Self::Link { .. })
    }
}

/// Mode bits of a folder if none are named.
fn for_all() -> u32 {
    0o755
}

/// The network of the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Net {
    /// A network namespace with nothing up.
    None,
    /// A network namespace with nothing but a loopback that is up.
    #[default]
    Loopback,
    /// The caller's network.
    Host,
}

/// What `/sys` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sysfs {
    /// An empty read-only directory.
    #[default]
    Empty,
    /// A fresh read-only sysfs; with [`Net::Host`] the kernel grants an ordinary caller none, then it is empty.
    Real,
}

/// User and group of the program, as it sees them itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Default for Ids {
    fn default() -> Self {
        Self { uid: 1000, gid: 1000 }
    }
}

/// What the program may do beyond its own user's rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// One user, no capability.
    #[default]
    Build,
    /// Root of an install root: uid 0. For an ordinary caller that is the caller; for root it is root with all ids, but with no
    /// capability beyond CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID and SETFCAP, and those only inside. [`Room::ids`]
    /// is not used.
    Script,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// A file inside the room; a name without a slash is looked for in the `PATH` of the room's environment.
    Path(OsString),
    /// The program itself, usually a script with its `#!` line; run from sealed memory. Descriptor 3 or the next free one
    /// stays open for its interpreter.
    Bytes(Vec<u8>),
}

/// Standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Ends at once.
    #[default]
    Null,
    /// The caller's.
    Inherit,
    /// These bytes, from sealed memory.
    Bytes(Vec<u8>),
    /// A descriptor of the caller.
    Fd(RawFd),
}

/// Standard output or error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Dropped.
    Null,
    /// The caller's.
    Inherit,
    /// To the sink of [`Child::wait_with`], or to the file taken from the child.
    #[default]
    Pipe,
    /// A descriptor of the caller.
    Fd(RawFd),
    /// For standard error: where standard output goes. Both then come in the order in which they were written.
    Same,
}

/// A descriptor of the caller that the program gets under a fixed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedFd {
    /// The caller's number; must be open when the room is spawned.
    pub source: RawFd,
    /// The program's number, 3 or more.
    pub target: RawFd,
}

/// The session of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// A new one, without a terminal.
    #[default]
    New,
    /// A new one with a terminal: a pseudo-terminal of the room's own is its controlling terminal and all three standard
    /// streams, whatever is said of those. [`Child::pty`] is its other end; what the program writes comes as standard output.
    /// Needs [`Room::dev`].
    Pty,
    /// The caller's session and process group: Ctrl-C and Ctrl-Z at its terminal mean both. The filter keeps the program from
    /// the others in that group: they have no number inside, and 0, which names the group, is refused to whoever wants to give
    /// it another priority, and on kernels without Landlock's scopes to `kill`.
    Keep,
    /// The caller's session and, where standard input is its terminal, that terminal's foreground: for shells that a person
    /// uses. [`Child::wait`] takes the terminal back.
    Foreground,
}

/// What becomes of attempts to give files setid bits, capabilities and other extended attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetId {
    /// They succeed, as packages with such files need. Everything is mounted `nosuid`, so nothing comes of it inside; outside
    /// [`changes`](crate::changes) tells of it.
    #[default]
    Record,
    /// The system call filter refuses them: modes with setid bits with EPERM, extended attributes with ENOTSUP. Calls whose
    /// mode a filter cannot see (`openat2`) are absent. Needs [`Room::seccomp`].
    Ban,
}

/// A clean room, described. [`spawn`](Self::spawn) makes it.
///
/// The environment, the descriptors and the file tree inside are exactly what is named here; nothing is inherited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// `/`.
    pub root: Root,
    /// Done in this order, after `/proc`, `/sys`, `/dev` and `/tmp` were mounted.
    pub mounts: Vec<Mount>,
    /// A minimal `/dev`.
    pub dev: bool,
    /// A fresh `/proc`.
    pub proc: bool,
    /// `/sys`; `None` leaves what the root has there.
    pub sys: Option<Sysfs>,
    /// Bytes of an own `/tmp` in memory; `None` leaves what the root has there.
    pub tmp: Option<u64>,
    /// The network.
    pub net: Net,
    /// Who the program is.
    pub ids: Ids,
    /// The host's uid and gid of the program when the caller is root; give each concurrent room its own. Never 0. Pipes that the
    /// program gets are given to it.
    pub host_id: u32,
    /// How many users and groups there are inside, numbered from 0; `None` is one of each, [`Ids`].
    ///
    /// For a caller who is root they are the host's ids from [`host_id`](Self::host_id) on. An ordinary caller is
    /// [`Ids`], as ever, and all others are ids that `/etc/subuid` and `/etc/subgid` give him; the programs `newuidmap` and
    /// `newgidmap` map them. A program with uid 0 has the capabilities of [`Profile::Script`] over them, so that it can give files
    /// away and become other users; with another uid it has none. What other users write into an [`Access::Rw`] mount belongs to
    /// ids of the range outside; [`remove_tree`](crate::remove_tree) removes it.
    #[serde(default)]
    pub range: Option<u32>,
    /// What the program may do.
    pub profile: Profile,
    /// The program.
    pub program: Program,
    /// Its first argument (`argv[0]`) where that is not the program's path.
    pub arg0: Option<OsString>,
    /// Its other arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Host name.
    pub hostname: String,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Further descriptors, for example those of a job server.
    pub fds: Vec<InheritedFd>,
    /// The session.
    pub session: Session,
    /// Limits; reaching one ends the room.
    pub limits: Limits,
    /// The deny list of system calls; on unless switched off here.
    pub seccomp: bool,
    /// Setid bits and extended attributes.
    #[serde(default)]
    pub setid: SetId,
}

impl Room {
    /// A room with everything at its default: own `/proc`, `/dev`, `/tmp`, an empty `/sys`, a loopback network, uid 1000, no
    /// environment, `/` as working directory, output into pipes.
    pub fn new(root: Root, program: impl Into<OsString>) -> Self {
        Self {
            root,
            mounts: Vec::new(),
            dev: true,
            proc: true,
            sys: Some(Sysfs::Empty),
            tmp: Some(1 << 30),
            net: Net::default(),
            ids: Ids::default(),
            host_id: DEFAULT_HOST_ID,
            range: None,
            profile: Profile::default(),
            program: Program::Path(program.into()),
            arg0: None,
            args: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            hostname: "localhost".to_owned(),
            stdin: Input::default(),
            stdout: Output::default(),
            stderr: Output::default(),
            fds: Vec::new(),
            session: Session::default(),
            limits: Limits::default(),
            seccomp: true,
            setid: SetId::default(),
        }
    }

    /// A package script: `root` is `/`, uid 0 inside, no network at all.
    pub fn script(root: impl Into<PathBuf>, access: Access, script: impl Into<Vec<u8>>) -> Self {
        let root = Root::Dir { path: root.into(), access, owner: Owner::Host };
        let mut room = Self::new(root, "");
        room.program = Program::Bytes(script.into());
        room.profile = Profile::Script;
        room.net = Net::None;
        room
    }

    /// User and group of the program inside, whatever its profile.
    pub(crate) fn program_ids(&self) -> Ids {
        if self.profile == Profile::Script { Ids { uid: 0, gid: 0 } } else { self.ids }
    }

    /// User and group of the program on the host, where the caller is root and the program is not.
    pub(crate) fn host_ids(&self) -> Ids {
        let Ids { uid, gid } = if self.range.is_some() { self.ids } else { Ids { uid: 0, gid: 0 } };
        Ids { uid: self.host_id.saturating_add(uid), gid: self.host_id.saturating_add(gid) }
    }

    /// Whether the program keeps some capabilities inside.
    pub(crate) fn has_rights(&self) -> bool {
        self.profile == Profile::Script || (self.range.is_some() && self.ids.uid == 0)
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> &mut Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> &mut Self {
        let name = name.into();
        self.env.retain(|(old, _)| *old != name);
        self.env.push((name, value.into()));
        self
    }

    /// Sets the working directory.
    pub fn cwd(&mut self, dir: impl Into<PathBuf>) -> &mut Self {
        self.cwd = dir.into();
        self
    }

    /// Shows `source` read-only at `target`; its files belong to the program.
    pub fn bind_ro(&mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> &mut Self {
        self.bind(source, target, Access::Ro)
    }

    /// Shows `source` writable at `target`; what the program writes there belongs to the caller outside.
    pub fn bind_rw(&mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> &mut Self {
        self.bind(source, target, Access::Rw)
    }

    fn bind(&mut self, source: impl Into<PathBuf>, target: impl Into<PathBuf>, access: Access) -> &mut Self {
        self.mounts.push(Mount::Bind { source: source.into(), target: target.into(), access, owner: Owner::Caller });
        self
    }

    /// Mounts an empty file system in memory, mode 0755, at `target`.
    pub fn tmpfs(&mut self, target: impl Into<PathBuf>, size: u64) -> &mut Self {
        self.mounts.push(Mount::Tmpfs { target: target.into(), size, mode: 0o755 });
        self
    }

    /// Makes the room and starts the program in it.
    ///
    /// Returns when the program has replaced the set-up, so that an error here means "could not start" and an exit status is
    /// always the program's own.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the description contradicts itself, [`Error::Start`] with the step that the kernel refused,
    /// [`Error::Exec`] when everything but the program was there.
    pub fn spawn(&self) -> Result<Child, Error> {
        crate::spawn::spawn(self)
    }

    /// [`spawn`](Self::spawn) and [`Child::wait_with`] in one.
    ///
    /// # Errors
    /// Those of the two.
    pub fn run(&self, sink: impl FnMut(Stream, &[u8]) -> std::io::Result<()>) -> Result<Outcome, Error> {
        self.spawn()?.wait_with(sink)
    }

    /// [`run`](Self::run), keeping standard output and error (at most `limits.log_bytes` of them).
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn output(&self) -> Result<(Outcome, Vec<u8>, Vec<u8>), Error> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let outcome = self.run(|stream, bytes| {
            match stream {
                Stream::Stdout => out.extend_from_slice(bytes),
                Stream::Stderr => err.extend_from_slice(bytes),
            }
            Ok(())
        })?;
        Ok((outcome, out, err))
    }
}
