//! From a description to a running room.

use std::borrow::Cow;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rustix::fs::{Gid, Uid};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::blank::{Blank, Kind, Maps};
use crate::cgroup::Group;
use crate::child::Output as ChildOutput;
use crate::disk::Disk;
use crate::error::STEP_OWN_MAP;
use crate::pieces::pieced;
use crate::plan::{Caller, Plan, c_string, check, plan};
use crate::sys::launch::{Become, CWD, EXEC, FIRST_STAGE, JOIN, Launch, Payload, Refused, Rlimit, enter, stage_name};
use crate::sys::userns::{self, Extent};
use crate::sys::{init, raw};
use crate::{
    Child, Error, Ids, Input, Limit, Mount, Output, Owner, Profile, Program, Room, Root, SetId, filter, range,
};

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID, SETFCAP.
const SCRIPT_CAPS: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 31;

/// NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE with their locks, and the lock of KEEP_CAPS.
const NO_CAPS_EVER: u32 = 0b1110_1111;

fn started<T>(step: &str, result: Result<T, Errno>) -> Result<T, Error> {
    result.map_err(|errno| Error::start(step, errno.raw_os_error()))
}

pub(crate) fn spawn(room: &Room) -> Result<Child, Error> {
    Ok(spawn_of(room, |kind, maps| Blank::make(kind, maps, None))?.0)
}

/// Makes `room` of the blank that `make` makes or has; the blank comes back with it.
pub(crate) fn spawn_of(
    room: &Room,
    make: impl FnOnce(&Kind, &Maps) -> Result<Blank, Error>,
) -> Result<(Child, Blank), Error> {
    let begin = Instant::now();
    check(room)?;
    let (caller, maps) = caller(room)?;
    let mut kind = Kind::of(room, &caller);
    let pieced = if kind.whole { None } else { pieced(room, &caller) };
    let room = pieced.as_ref().inspect(|room| kind = Kind::of(room, &caller)).unwrap_or(room);
    let mut blank = make(&kind, &maps)?;
    let plan = plan(room, &caller, &blank)?;
    let pty = blank.pty.take();
    Ok((enter_blank(room, &caller, &blank, plan, pty, begin)?, blank))
}

/// Does `plan` in a blank, and starts the program there.
pub(crate) fn enter_blank(
    room: &Room,
    caller: &Caller,
    blank: &Blank,
    plan: Plan,
    pty: Option<OwnedFd>,
    begin: Instant,
) -> Result<Child, Error> {
    let Plan { steps, root, claims } = plan;
    let mut io = Stdio { pty, ..Stdio::default() };
    let mut payload = payload(room, caller, blank, &mut io)?;
    let mut group = Group::make(&room.limits)?;
    let disk = Disk::of(room)?;
    let (alive_read, alive) = started("making a pipe", pipe_with(PipeFlags::CLOEXEC))?;
    let (status, status_write) = started("making a pipe", pipe_with(PipeFlags::CLOEXEC))?;
    let (alive_read, status_write) = (high(alive_read)?, high(status_write)?);
    let mut launch = |group: Option<&Group>| {
        let held: Vec<_> = claims.held().into_iter().chain(group.map(Group::held)).collect();
        let doors = group.map(Group::doors).unwrap_or_default();
        payload.rlimits = rlimits(room, caller, group);
        // With a group, its namespace is made when that has been entered.
        let groups = if doors.is_empty() { libc::CLONE_NEWCGROUP } else { 0 };
        enter(&Launch {
            namespaces: libc::CLONE_NEWPID | groups,
            entered: &blank.outer(),
            hop: matches!(caller, Caller::User { .. }),
            steps: &steps.steps,
            root,
            mounts: blank.mounts.as_raw_fd(),
            slots: steps.slots,
            payload: &payload,
            held: &held,
            full: full(room, caller, group),
            groups: &doors,
            alive: &alive_read,
            status: &status_write,
        })
    };
    let mut entered = launch(group.as_ref());
    if matches!(&entered, Err(Refused::Setup(failure, _)) if failure.step == JOIN) {
        // A group that may be made but not entered: there are limits without.
        group = None;
        entered = launch(None);
    }
    let entered = entered.map_err(|refused| match refused {
        Refused::Setup(failure, _) if failure.step == EXEC => exec_error(room, failure.errno),
        Refused::Setup(failure, _) if failure.step == CWD => {
            Error::start(format!("{} {}", stage_name(CWD), room.cwd.display()), failure.errno)
        }
        other => explain(&steps.names, other),
    })?;
    Ok(Child::new(entered, io.child, alive, status, room, begin, claims).counted_by(group).looked_at_on(disk))
}

/// A copy whose number is not one of those that the init uses.
fn high(fd: OwnedFd) -> Result<OwnedFd, Error> {
    if fd.as_raw_fd() >= 10 { Ok(fd) } else { started("making a pipe", rustix::io::fcntl_dupfd_cloexec(&fd, 10)) }
}

/// A refusal in words; `names` are those of the steps.
pub(crate) fn explain(names: &[Cow<'static, str>], refused: Refused) -> Error {
    match refused {
        Refused::Early(step, errno) => Error::start(step, errno),
        Refused::Setup(failure, text) => {
            let name = names.get(failure.step as usize).map_or_else(|| stage_name(failure.step), |name| name.as_ref());
            let name = if failure.step < FIRST_STAGE { name } else { stage_name(failure.step) };
            let mut error = Error::start(name, failure.errno);
            if let Error::Start { detail, .. } = &mut error {
                *detail = text;
            }
            error
        }
    }
}

fn exec_error(room: &Room, errno: i32) -> Error {
    let program = match &room.program {
        Program::Path(path) => PathBuf::from(path),
        Program::Bytes(_) => PathBuf::from("(script)"),
    };
    let hint = match (errno, &room.program) {
        (libc::ENOENT, Program::Bytes(_)) => "the interpreter in its first line is missing in the room",
        (libc::ENOENT, Program::Path(_)) => {
            "the file, the interpreter in its first line, or its dynamic loader is missing in the room"
        }
        (libc::EACCES, _) => {
            "it is a folder or may not be executed: name a program, give it the right (chmod +x), or look for noexec on the mount"
        }
        (libc::ENOEXEC, _) => "it is neither an executable for this machine nor a script with a #! line",
        _ => "",
    };
    Error::Exec { program, source: std::io::Error::from_raw_os_error(errno), hint: hint.to_owned() }
}

/// The maps of users and groups of this process' namespace.
fn own_maps() -> Result<(Vec<Extent>, Vec<Extent>), Error> {
    /// The inode of the first user namespace, fixed by the kernel (`PROC_USER_INIT_INO`).
    const FIRST: u64 = 0xefff_fffd;
    let first = std::fs::metadata("/proc/self/ns/user").is_ok_and(|found| found.ino() == FIRST);
    if first {
        let all = vec![(0, 0, u32::MAX)];
        return Ok((all.clone(), all));
    }
    Ok((own_map("uid")?, own_map("gid")?))
}

/// Extents (first inside, first outside, count) of this process' own user map.
fn own_map(kind: &str) -> Result<Vec<Extent>, Error> {
    let text = std::fs::read_to_string(format!("/proc/self/{kind}_map"))
        .map_err(|error| Error::start(STEP_OWN_MAP, error.raw_os_error().unwrap_or(libc::EIO)))?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace().map(|word| word.parse::<u32>().ok());
            Some((words.next()??, words.next()??, words.next()??))
        })
        .collect())
}

/// Who makes the room and, for root, the maps of the program.
pub(crate) fn caller(room: &Room) -> Result<(Caller, Maps), Error> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let user = || {
        let range = room.range.map(|count| range::maps(room.program_ids(), (uid, gid), count)).transpose()?;
        Ok((Caller::User { uid, gid }, range.unwrap_or_default()))
    };
    if uid != 0 {
        return user();
    }
    let (uids, gids) = own_maps()?;
    let wanted = room.range.unwrap_or(1);
    let covers = |map: &[Extent]| {
        let has = |offset: u32, count: u32| offset.checked_add(wanted).is_some_and(|end| end <= count);
        map.iter().any(|(inside, _, count)| room.host_id.checked_sub(*inside).is_some_and(|offset| has(offset, *count)))
    };
    // CHOWN, DAC_OVERRIDE, SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_CHROOT, SYS_ADMIN
    let needed = 1 << 0 | 1 << 1 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 18 | 1 << 21;
    let (_, effective) = raw::capget().map_err(|errno| Error::start("reading the caller's capabilities", errno))?;
    let able = effective & needed == needed;
    if able && room.profile == Profile::Script {
        let same = |map: &[(u32, u32, u32)]| {
            map.iter().map(|(inside, _, count)| (*inside, *inside, *count)).collect::<Vec<_>>()
        };
        return Ok((Caller::Root { idmap: None }, Maps { users: same(&uids), groups: same(&gids) }));
    }
    if able && covers(&uids) && covers(&gids) {
        let Ids { uid, gid } = room.ids;
        let one = |id| room.range.map_or((id, room.host_id, 1), |count| (0, room.host_id, count));
        let maps = Maps { users: vec![one(uid)], groups: vec![one(gid)] };
        let idmap = maps_owners(room).then(|| owner_map(room)).transpose()?;
        return Ok((Caller::Root { idmap }, maps));
    }
    if uids.first() == Some(&(0, 0, u32::MAX)) {
        let hint = "root needs CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_NET_ADMIN, CAP_SYS_CHROOT and CAP_SYS_ADMIN to make a room \
                    whose program is not root; without them run as an ordinary user";
        let source = std::io::Error::from_raw_os_error(libc::EPERM);
        return Err(Error::Start {
            step: crate::error::STEP_NAMESPACES.to_owned(),
            source,
            detail: String::new(),
            hint: hint.to_owned(),
        });
    }
    user()
}

/// Whether anything of the host shows with other owners.
fn maps_owners(room: &Room) -> bool {
    let root = match &room.root {
        Root::Overlay { .. } => true,
        Root::Dir { owner, .. } => *owner == Owner::Caller,
        Root::Empty => false,
    };
    root || room.mounts.iter().any(|mount| matches!(mount, Mount::Bind { owner: Owner::Caller, .. }))
}

/// A range of host ids (first and count) and the program's user and group among them.
type Owners = (u32, u32, Ids);

/// The namespace whose map shows files of root as files of the program. Made once for each and kept: it has no processes, and
/// the descriptors are as many as rooms at once.
fn owner_map(room: &Room) -> Result<Arc<OwnedFd>, Error> {
    static MAPS: Mutex<Vec<(Owners, Arc<OwnedFd>)>> = Mutex::new(Vec::new());
    let Ids { uid, gid } = room.host_ids();
    let (first, count) = (room.host_id, room.range.unwrap_or(1));
    let owners = (first, count, Ids { uid, gid });
    let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, map)) = maps.iter().find(|(known, _)| *known == owners) {
        return Ok(Arc::clone(map));
    }
    // Exchanged, not only moved: the set-up itself, which is root, makes overlayfs' work files there. All others of a range are
    // themselves.
    let exchange = |own: u32| {
        let others = [(first, first, own - first), (own + 1, own + 1, first + count - own - 1)];
        [(0, own, 1), (own, 0, 1)].into_iter().chain(others).filter(|(_, _, count)| *count > 0).collect()
    };
    let map = Maps { users: exchange(uid), groups: exchange(gid) };
    let (map, _) = userns::userns(|pid| userns::write_maps(pid, &map))?;
    let map = Arc::new(map);
    maps.push((owners, Arc::clone(&map)));
    Ok(map)
}

/// Descriptors opened for the program, and the caller's ends of its pipes.
#[derive(Default)]
struct Stdio {
    kept: Vec<OwnedFd>,
    null: Option<RawFd>,
    pty: Option<OwnedFd>,
    child: ChildOutput,
}

impl Stdio {
    fn keep(&mut self, fd: OwnedFd) -> RawFd {
        let raw = fd.as_raw_fd();
        self.kept.push(fd);
        raw
    }

    /// The three standard streams.
    fn streams(&mut self, room: &Room) -> Result<Vec<(RawFd, RawFd)>, Error> {
        let input = self.input(&room.stdin)?;
        let (out, out_fd) = self.output(room.stdout, 1)?;
        let (err, err_fd) = if room.stderr == Output::Same { (None, out_fd) } else { self.output(room.stderr, 2)? };
        self.child = ChildOutput { out, err, pty: None };
        Ok(vec![(input, 0), (out_fd, 1), (err_fd, 2)])
    }

    /// The program's side of a terminal as all three.
    fn terminal(&mut self, room: &Room, pty: OwnedFd) -> Result<Vec<(RawFd, RawFd)>, Error> {
        use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
        let step = "making a terminal";
        started(step, unlockpt(&pty))?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let peer = started(step, ioctl_tiocgptpeer(&pty, flags))?;
        if rustix::process::geteuid().is_root() && room.profile == Profile::Build {
            let Ids { uid, gid } = room.host_ids();
            let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
            // In a container root's room may be root's own: then it is the owner already.
            let _ = rustix::fs::fchown(&peer, Some(owner), Some(group));
        }
        let copy = started(step, rustix::io::fcntl_dupfd_cloexec(&pty, 3))?;
        self.child = ChildOutput { out: Some(File::from(copy)), err: None, pty: Some(pty) };
        let peer = self.keep(peer);
        Ok(vec![(peer, 0), (peer, 1), (peer, 2)])
    }

    fn null(&mut self) -> Result<RawFd, Error> {
        if let Some(null) = self.null {
            return Ok(null);
        }
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let null = self.keep(started("opening /dev/null", null)?);
        self.null = Some(null);
        Ok(null)
    }

    fn pipe(&mut self) -> Result<(File, RawFd), Error> {
        let (read, write) = started("making a pipe", pipe_with(PipeFlags::CLOEXEC))?;
        Ok((File::from(read), self.keep(write)))
    }

    fn input(&mut self, input: &Input) -> Result<RawFd, Error> {
        match input {
            Input::Null => self.null(),
            Input::Inherit => Ok(0),
            Input::Fd(fd) => Ok(*fd),
            Input::Bytes(bytes) => {
                Ok(self.keep(started("preparing the standard input", init::sealed("stdin", bytes))?))
            }
        }
    }

    fn output(&mut self, output: Output, own: RawFd) -> Result<(Option<File>, RawFd), Error> {
        match output {
            Output::Null => Ok((None, self.null()?)),
            Output::Inherit => Ok((None, own)),
            Output::Fd(fd) => Ok((None, fd)),
            Output::Pipe => self.pipe().map(|(file, fd)| (Some(file), fd)),
            Output::Same => {
                Err(Error::invalid("standard output has nothing to be the same as; only standard error has"))
            }
        }
    }
}

/// Makes what every room needs and no room uses up; it is made once. Why it cannot be made the room will tell that needs it.
pub(crate) fn prepare(kind: &Kind) {
    let _ = (init::init_program(), landlock());
    filter::deny_list(SetId::default(), filter::Group::Own);
    crate::plan::covers(kind.user_is_root());
}

/// The program with all it gets. What `io` keeps must stay open until the room has been entered.
fn payload(room: &Room, caller: &Caller, blank: &Blank, io: &mut Stdio) -> Result<Payload, Error> {
    let mut fds = descriptors(room, io)?;
    if matches!(caller, Caller::Root { .. }) && room.profile == Profile::Build {
        for (source, _) in &fds {
            // Or `/dev/stdout` could not be opened by its name.
            raw::give_pipe(*source, room.host_ids());
        }
    }
    let candidates = match &room.program {
        Program::Path(path) => candidates(room, path)?,
        Program::Bytes(bytes) => vec![program_bytes(room, bytes, &mut fds, io)?],
    };
    let arg0 = match (&room.arg0, &room.program) {
        (Some(arg0), _) | (None, Program::Path(arg0)) => arg0.as_os_str(),
        (None, Program::Bytes(_)) => OsStr::new("script"),
    };
    let argv = std::iter::once(arg0)
        .chain(room.args.iter().map(OsString::as_os_str))
        .map(c_string)
        .collect::<Result<_, _>>()?;
    let envp = room.env.iter().map(environment).collect::<Result<_, _>>()?;
    let (ids, rights) = (room.program_ids(), room.has_rights());
    if !room.cwd.is_absolute() {
        return Err(Error::invalid(format!("the working directory {} must be absolute", room.cwd.display())));
    }
    let landlock = landlock()?;
    let group = filter::Group::of(room.session, landlock.is_some());
    Ok(Payload {
        candidates,
        argv,
        envp,
        cwd: c_string(&room.cwd)?,
        fds,
        session: room.session,
        rlimits: Vec::new(),
        r#become: matches!(caller, Caller::Root { .. }).then(|| Become {
            userns: blank.user.as_raw_fd(),
            uid: ids.uid,
            gid: ids.gid,
        }),
        drop_groups: matches!(caller, Caller::Root { .. }) || room.range.is_some(),
        keep_caps: if rights { SCRIPT_CAPS } else { 0 },
        securebits: if rights { 0 } else { NO_CAPS_EVER },
        landlock,
        filter: if room.seccomp { filter::deny_list(room.setid, group) } else { &[] },
    })
}

fn environment((name, value): &(OsString, OsString)) -> Result<CString, Error> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        return Err(Error::invalid(format!("{} is not the name of an environment variable", name.display())));
    }
    let mut whole = name.clone();
    whole.push("=");
    whole.push(value);
    c_string(whole)
}

/// (caller's, program's) descriptors, sorted by the second.
fn descriptors(room: &Room, io: &mut Stdio) -> Result<Vec<(RawFd, RawFd)>, Error> {
    let mut fds = if let Some(pty) = io.pty.take() { io.terminal(room, pty)? } else { io.streams(room)? };
    for fd in &room.fds {
        if fd.target < 3 || fd.target > 1 << 16 || fds.iter().any(|(_, target)| *target == fd.target) {
            return Err(Error::invalid(format!(
                "the descriptor number {} is taken or out of range (3 to 65536)",
                fd.target
            )));
        }
        fds.push((fd.source, fd.target));
    }
    fds.sort_by_key(|(_, target)| *target);
    Ok(fds)
}

/// Puts the program into sealed memory and returns the path that runs it.
fn program_bytes(room: &Room, bytes: &[u8], fds: &mut Vec<(RawFd, RawFd)>, io: &mut Stdio) -> Result<CString, Error> {
    if !room.proc {
        return Err(Error::invalid("a program given as bytes is run through /proc, which the room has not"));
    }
    let source = io.keep(started("preparing the program", init::sealed("program", bytes))?);
    let free = (3..).find(|number| fds.iter().all(|(_, target)| target != number));
    let target = free.ok_or_else(|| Error::invalid("all descriptor numbers are taken"))?;
    fds.push((source, target));
    fds.sort_by_key(|(_, target)| *target);
    c_string(format!("/proc/self/fd/{target}"))
}

/// The paths to try for a program, in turn.
fn candidates(room: &Room, program: &OsStr) -> Result<Vec<CString>, Error> {
    if program.is_empty() {
        return Err(Error::invalid("no program is named"));
    }
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    let path = room.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    let Some(path) = path else {
        return Err(Error::invalid(format!("{} has no slash and the room's environment no PATH", program.display())));
    };
    std::env::split_paths(path)
        .map(|dir| c_string(if dir.as_os_str().is_empty() { Path::new(".").join(program) } else { dir.join(program) }))
        .collect()
}

/// How many processes of the room's user there may be, where no group counts them.
fn most_processes(room: &Room, caller: &Caller, group: Option<&Group>) -> Option<u64> {
    // The init counts as a process of an ordinary caller's room; so does, for a moment, the process that entered it first.
    let own = if matches!(caller, Caller::User { .. }) { 2 } else { 0 };
    let is_open = !group.is_some_and(|group| group.has(Limit::Processes));
    room.limits.processes.filter(|_| is_open).map(|count| count.saturating_add(own))
}

/// With how many the init finds a room full at its end, when the program is no longer among them. Only an ordinary caller's init is
/// bounded as the program is.
fn full(room: &Room, caller: &Caller, group: Option<&Group>) -> Option<u64> {
    let most = most_processes(room, caller, group).filter(|_| matches!(caller, Caller::User { .. }));
    most.map(|most| most.saturating_sub(1))
}

/// Address space of each process, where memory is looked at: a bound for want of a look, not one that is met before a look finds
/// too much. Programs reserve more than they use.
fn address_space(memory: u64) -> u64 {
    memory.saturating_mul(8).max(8 << 30)
}

/// The limits of each process; what the group counts is not bounded twice.
fn rlimits(room: &Room, caller: &Caller, group: Option<&Group>) -> Vec<Rlimit> {
    use rustix::process::{Resource, getrlimit};
    let limits = &room.limits;
    let processes = most_processes(room, caller, group);
    let is_open = !group.is_some_and(|group| group.has(Limit::Memory));
    let memory = limits.memory.filter(|_| is_open).map(address_space);
    let wanted = [
        (Resource::Core, libc::RLIMIT_CORE, Some(0)),
        (Resource::Nproc, libc::RLIMIT_NPROC, processes),
        (Resource::As, libc::RLIMIT_AS, memory),
        (Resource::Nofile, libc::RLIMIT_NOFILE, limits.open_files),
        (Resource::Fsize, libc::RLIMIT_FSIZE, limits.file_size),
    ];
    let limits = wanted.into_iter().filter_map(|(resource, number, value)| {
        let value = value?;
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        Some((number, value.min(most), value.min(most)))
    });
    limits.collect()
}

/// What makes a Landlock domain of every program that enters it, where the kernel has scopes (ABI 6). Made once.
fn landlock() -> Result<Option<RawFd>, Error> {
    static RULES: OnceLock<Option<OwnedFd>> = OnceLock::new();
    if RULES.get().is_none() {
        let scopes = raw::landlock_abi().unwrap_or(0) >= 6;
        let rules = scopes.then(init::landlock_rules).transpose();
        let rules = rules.map_err(|errno| Error::start("making the Landlock rules", errno))?;
        RULES.get_or_init(|| rules);
    }
    Ok(RULES.get().and_then(Option::as_ref).map(AsRawFd::as_raw_fd))
}
