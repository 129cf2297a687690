//! The clean room of one recipe: what is in it, and how a script runs there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pkgtypes::Timestamp;
use recipe::{Recipe, RecipeId};
use sandbox::{Child, Exit, Kept, Limit, Limits, Net, Outcome, Output, Room, Root, Stream};

use crate::log::Log;
use crate::{Error, Stop};

/// Changes whenever something a build can see changes here: it is part of every build key.
pub(crate) const PROFILE: &str = "room-1";

/// Where a build stages what it installs.
const DEST: &str = "/dest";
/// What a person gets in a room, and the terminal it takes for granted.
const SHELL: &str = "/bin/sh";
const TERMINAL: &str = "linux";
/// Bytes of the room's own `/tmp`.
const TMP: u64 = 4 << 30;

/// Bounds of one script.
#[derive(Debug, Clone)]
pub struct RoomLimits {
    /// From start to end.
    pub wall: Option<Duration>,
    /// Without a line of output.
    pub silence: Option<Duration>,
    /// Bytes of output.
    pub log_bytes: Option<u64>,
    /// Processes and threads at once.
    pub processes: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes by which the folders of the build and of its output may grow together.
    pub disk: Option<u64>,
}

impl Default for RoomLimits {
    /// Six hours, half an hour of silence, 1 GiB of log, 16,384 processes, and no bound on memory and disk: what a build needs
    /// of these is known to nobody else, and looking at what it takes on the disk costs up to a twentieth of a processor.
    fn default() -> Self {
        Self {
            wall: Some(Duration::from_secs(6 * 3600)),
            silence: Some(Duration::from_secs(1800)),
            log_bytes: Some(1 << 30),
            processes: Some(16_384),
            memory: None,
            disk: None,
        }
    }
}

/// The folders of the host that a build works in.
#[derive(Debug, Clone)]
pub(crate) struct Workplace {
    /// `/build` inside.
    pub(crate) build: PathBuf,
    /// `/dest` inside.
    pub(crate) dest: PathBuf,
}

/// What is the same for all scripts of a recipe.
pub(crate) struct RoomPlan<'a> {
    pub(crate) recipe: &'a Recipe,
    /// Unpacked packages, the first on top.
    pub(crate) layers: Vec<PathBuf>,
    /// Trees laid at folders of their own.
    pub(crate) placed: Vec<(PathBuf, PathBuf)>,
    /// Variables that name such folders.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) date: Timestamp,
    pub(crate) jobs: usize,
    pub(crate) host_id: u32,
    pub(crate) limits: RoomLimits,
}

/// `NAME-VERSION`, the folder a build works in.
pub(crate) fn build_folder(recipe: &RecipeId) -> String {
    format!("{}-{}", recipe.name, recipe.version.upstream())
}

impl RoomPlan<'_> {
    /// The room of the build script and of `check`.
    pub(crate) fn build_room(&self, script: &str, workplace: &Workplace) -> Room {
        let mut room = self.empty_room(script);
        room.bind_rw(&workplace.build, "/build").bind_rw(&workplace.dest, DEST);
        room.cwd(Path::new("/build").join(build_folder(self.recipe.id())));
        room.env("DESTDIR", DEST);
        room
    }

    /// The room of `test`, where nothing was built.
    pub(crate) fn test_room(&self) -> Room {
        let mut room = self.empty_room("test");
        room.cwd("/tmp");
        room
    }

    fn empty_room(&self, script: &str) -> Room {
        let mut room = Room::new(Root::layers(&self.layers), format!("/recipe/{script}"));
        for (tree, place) in &self.placed {
            room.bind_ro(tree, place);
        }
        room.bind_ro(self.recipe.folder(), "/recipe");
        room.tmp = Some(TMP);
        room.hostname = "localhost".to_owned();
        room.host_id = self.host_id;
        room.net = Net::Loopback;
        // One pipe, so that the log has an error after the line that led to it.
        room.stderr = Output::Same;
        room.limits = self.room_limits();
        for (name, value) in self.environment() {
            room.env(name, value);
        }
        room
    }

    fn room_limits(&self) -> Limits {
        let RoomLimits { wall, silence, log_bytes, processes, memory, disk } = self.limits.clone();
        Limits { wall, silence, log_bytes, processes, memory, disk, ..Limits::default() }
    }

    /// Everything a script finds in its environment; nothing of the caller's.
    fn environment(&self) -> Vec<(String, String)> {
        let id = self.recipe.id();
        let folder = build_folder(id);
        let flags = format!("-O2 -ffile-prefix-map=/build/{folder}=/usr/src/{folder}");
        let fixed = [
            ("PATH", "/usr/bin:/bin"),
            ("HOME", "/tmp"),
            ("TMPDIR", "/tmp"),
            ("SHELL", "/bin/sh"),
            ("USER", "build"),
            ("LOGNAME", "build"),
            ("TERM", "dumb"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("CFLAGS", &flags),
            ("CXXFLAGS", &flags),
            ("PKG_NAME", id.name.as_str()),
            ("PKG_VERSION", id.version.upstream()),
            ("SOURCE_DATE_EPOCH", &self.date.seconds().to_string()),
            ("JOBS", &self.jobs.to_string()),
            ("MAKEFLAGS", &format!("-j{}", self.jobs)),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = self.recipe.environment().iter().map(|variable| (variable.name.clone(), variable.value.clone()));
        fixed.into_iter().chain(self.variables.iter().cloned()).chain(own).collect()
    }
}

/// Runs a room to its end, all output into `log`; with `keep` the room stays.
pub(crate) fn run(
    recipe: &RecipeId,
    room: &Room,
    log: &mut Log,
    stop: Stop<'_>,
    keep: bool,
) -> Result<(Outcome, Option<Kept>), Error> {
    let spawn = || -> Result<(Child, Option<Kept>), sandbox::Error> {
        if keep { room.spawn_keeping().map(|(child, kept)| (child, Some(kept))) } else { Ok((room.spawn()?, None)) }
    };
    let mut run = || {
        let (child, kept) = spawn()?;
        Ok((child.wait_while(|_: Stream, bytes| log.write(bytes), || !stop())?, kept))
    };
    let (outcome, kept) = run().map_err(|error| refused(recipe, error))?;
    if outcome.cause == Some(Limit::Stopped) { Err(Error::Interrupted) } else { Ok((outcome, kept)) }
}

fn refused(recipe: &RecipeId, error: sandbox::Error) -> Error {
    Error::Room { recipe: Box::new(recipe.clone()), error }
}

/// Opens a shell in a room, on the caller's terminal.
pub(crate) fn shell(recipe: &RecipeId, mut room: Room) -> Result<Exit, Error> {
    room.interactive(SHELL).env("TERM", TERMINAL);
    let run = || room.spawn()?.wait();
    run().map(|outcome| outcome.exit).map_err(|error| refused(recipe, error))
}

/// Opens a shell in a room whose script has ended, on the caller's terminal.
pub(crate) fn shell_in(recipe: &RecipeId, kept: &Kept) -> Result<(), Error> {
    let mut room = kept.shell(SHELL);
    room.env("TERM", TERMINAL);
    let run = || kept.enter(&room)?.wait();
    run().map(drop).map_err(|error| refused(recipe, error))
}

/// In words how a script ended that did not end well.
pub(crate) fn ending(outcome: &Outcome) -> String {
    match (outcome.cause, outcome.exit) {
        (Some(limit), _) => format!("was ended: it reached {limit}"),
        (None, Exit::Code(code)) => format!("failed with exit status {code}"),
        (None, Exit::Signal(signal)) => format!("was ended by signal {signal}"),
    }
}

/// The few files that programs expect of any system, as one more layer.
pub(crate) const SKELETON: [(&str, &str); 5] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/:/bin/sh\nbuild:x:1000:1000:build:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nbuild:x:1000:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("etc/host.conf", "multi on\n"),
];
