//! `pkg sandbox -- CMD..`: the clean room by itself.

mod arguments;
mod operations;
mod told;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandbox::{
    Access, Child, Error, Exit, HeadStart, Ids, Input, Kept, Limit, Limits, Mount, Net, Outcome, Output, Owner, Room,
    Root, Session, SetId, Sysfs, Upper,
};

use crate::failure::Failure;
use crate::options::size;
use crate::render::Voice;
use crate::{exit, signals};
use operations::{Operations, Tree};
use told::Telling;

/// The command for `--shell` without a command.
const SHELL: &str = "/bin/sh";

/// Where commands without a slash are looked for, unless `--setenv PATH` says otherwise.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The signal that Ctrl-C sends.
const INTERRUPT: u8 = signal_hook::consts::SIGINT as u8;

/// The exit code of a command that wrote to nobody, as a shell has it.
const BROKEN_PIPE: u8 = 128 + signal_hook::consts::SIGPIPE as u8;

/// Bytes of a `--tmpfs` and of an overlay's changes.
const TMPFS: u64 = 1 << 30;

/// What the loopback and the rest of the network are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// Nothing, not even a loopback.
    None,
    /// A loopback of the room's own.
    Loopback,
    /// The host's.
    Host,
}

/// What the room is made of and what runs in it.
#[derive(Debug, clap::Args)]
#[command(
    args_override_self = true,
    after_help = "Without a root the room is empty but for /proc, /dev, /sys and /tmp. The environment is empty but for \
    PATH. The exit code is the command's, 128 and the signal that ended it, or 125 when the room could not start."
)]
pub struct Args {
    /// Make DIR the root, writable as far as you may.
    #[arg(long, value_name = "DIR", conflicts_with = "overlay")]
    root: Option<PathBuf>,
    /// Make the root read-only.
    #[arg(long)]
    ro: bool,
    /// Lay these directories over each other as the root, the first on top; changes go to memory, or nowhere with --ro.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    overlay: Vec<PathBuf>,
    /// The rest of the tree.
    #[command(flatten)]
    tree: Operations,
    /// Call the command by this name (its argument 0).
    #[arg(long, value_name = "NAME")]
    argv0: Option<OsString>,
    /// Start in DIR of the room.
    #[arg(long, value_name = "DIR", default_value = "/")]
    chdir: PathBuf,
    /// Name the host.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    hostname: String,
    /// Choose the network.
    #[arg(long, value_enum, default_value = "loopback")]
    net: Network,
    /// The same as --net host.
    #[arg(long, conflicts_with = "net")]
    share_net: bool,
    /// Run as this user of the room.
    #[arg(long, value_name = "N", default_value = "1000")]
    uid: u32,
    /// Run as this group of the room [default: the user's number].
    #[arg(long, value_name = "N")]
    gid: Option<u32>,
    /// Have the users and groups 0 to N-1 in the room [default N: 65536]; with --uid 0 the command is their root.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "65536")]
    id_range: Option<u32>,
    /// Refuse setid bits, file capabilities and other extended attributes.
    #[arg(long)]
    no_setid: bool,
    /// When the command fails, open /bin/sh in its room as the command left it; the exit code stays the command's.
    #[arg(long, conflicts_with_all = ["shell", "pty"])]
    shell_on_failure: bool,
    /// Give the command a terminal of its own, on which nobody types; what it writes there comes out as it is.
    #[arg(long, conflicts_with = "shell")]
    pty: bool,
    /// End the room after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// At --timeout or Ctrl-C ask everything inside to end (SIGTERM) and give it so many seconds to.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    grace: Option<Duration>,
    /// End the room when it uses more memory (K, M, G, T are powers of 1024).
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Allow this many processes and threads at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pids: Option<u64>,
    /// Allow no larger file than this.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    ulimit_file: Option<u64>,
    /// Allow each process this many open files.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(4..))]
    ulimit_nofile: Option<u64>,
    /// End the room when what it can write on the disk has grown by more than this.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    disk: Option<u64>,
    /// Who is told of it.
    #[command(flatten)]
    telling: Telling,
    /// Give the command the terminal, as a shell that a person uses needs it; without a command run /bin/sh.
    #[arg(long)]
    shell: bool,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, value_name = "CMD", required_unless_present = "shell")]
    command: Vec<OsString>,
    /// Taken for bubblewrap's sake; what they ask for is always so. The last ones, since their heading is for all that
    /// comes after it.
    #[command(flatten)]
    always: Always,
}

/// Options of bubblewrap that say what a room is anyway.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of bwrap that are always on")]
pub struct Always {
    /// New namespaces of every kind.
    #[arg(long)]
    unshare_all: bool,
    /// A new user namespace.
    #[arg(long, alias = "unshare-user-try")]
    unshare_user: bool,
    /// A new IPC namespace.
    #[arg(long)]
    unshare_ipc: bool,
    /// A new process namespace.
    #[arg(long)]
    unshare_pid: bool,
    /// A new network namespace.
    #[arg(long, conflicts_with = "share_net")]
    unshare_net: bool,
    /// A new namespace of host names.
    #[arg(long)]
    unshare_uts: bool,
    /// A new namespace of control groups.
    #[arg(long, alias = "unshare-cgroup-try")]
    unshare_cgroup: bool,
    /// No user namespaces inside.
    #[arg(long, alias = "assert-userns-disabled")]
    disable_userns: bool,
    /// No capability; CAP is not looked at.
    #[arg(long, value_name = "CAP", action = clap::ArgAction::Append)]
    cap_drop: Vec<String>,
    /// No environment but what is set.
    #[arg(long)]
    clearenv: bool,
    /// Everything ends with the caller.
    #[arg(long)]
    die_with_parent: bool,
    /// No way to type into the terminal.
    #[arg(long)]
    new_session: bool,
    /// A fresh /proc; DST must be /proc.
    #[arg(long, value_name = "DST", value_parser = ["/proc"])]
    proc: Option<String>,
    /// A minimal /dev; DST must be /dev.
    #[arg(long, value_name = "DST", value_parser = ["/dev"])]
    dev: Option<String>,
}

/// The words of a line, with those that `--args` gives in its place; `verb` is this verb, described, and its options begin
/// with the word `first`.
///
/// # Errors
/// A descriptor that cannot be read.
pub fn words(words: Vec<OsString>, first: usize, verb: &clap::Command) -> Result<Vec<OsString>, Failure> {
    arguments::expand(words, first, verb)
}

/// The room that a line probably asks for, as far as a glance tells. What it does not tell costs time, nothing else.
pub fn likely(words: &[OsString]) -> Room {
    let bound = |option: &str| words.windows(3).any(|words| *words == [option, "/", "/"]);
    let root = if bound("--ro-bind") {
        Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host }
    } else {
        Root::Empty
    };
    let mut room = Room::new(root, "");
    let asked = |net: &str| words.windows(2).any(|words| *words == ["--net", net]);
    if words.iter().any(|word| word == "--share-net") || asked("host") {
        room.net = Net::Host;
    } else if asked("none") {
        room.net = Net::None;
    }
    room
}

/// Runs the command in its room.
///
/// # Errors
/// A wrong combination of arguments, or a status descriptor that cannot be written. That the room cannot start is no error
/// here but the exit code [`exit::SANDBOX`], explained on standard error; what the library finds wrong in the line is
/// [`exit::USAGE`].
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    run_after(None, args, voice)
}

/// As [`run`], with a room that was begun before the command line was read.
///
/// # Errors
/// Those of [`run`].
pub fn run_after(start: Option<HeadStart>, args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let mut room = room(args)?;
    let mut told = args.telling.begin()?;
    let shared = matches!(room.session, Session::Keep | Session::Foreground);
    if shared {
        room.mounts.splice(0..0, terminal());
        // The program gets Ctrl-C itself and decides what it means.
        signals::leave_typed_ones();
    }
    let go_on = || signals::pending().is_none();
    let (child, kept) = match spawn(start, args, &room) {
        Ok((child, kept)) => (Ok(child), kept),
        Err(error) => (Err(error), None),
    };
    let child = match child {
        Ok(child) => told.started(&child).map(|()| Ok(child))?,
        Err(error) => Err(error),
    };
    let result = child.and_then(|child| child.wait_while(|stream, bytes| told.wrote(stream, bytes), go_on));
    told.ended(&result, code_of)?;
    match result {
        Ok(outcome) => {
            if let Some(limit) = outcome.cause.filter(|limit| *limit != Limit::Stopped) {
                // A command that came to its own end first may still have been refused something.
                let what = if matches!(outcome.exit, Exit::Code(_)) { "reached" } else { "was ended by" };
                voice.error(format_args!("the room {what} {limit}"));
            }
            if let Some(kept) = kept.filter(|_| wants_a_shell(&outcome)) {
                voice.status(format_args!("the command ended with {}; this shell is in its room", outcome.exit));
                if let Err(error) = shell(&kept) {
                    voice.error(&error);
                }
            }
            Ok(told::code_of(&outcome))
        }
        Err(error) => {
            let code = code_of(&error);
            if code != BROKEN_PIPE {
                voice.error(&error);
            }
            Ok(code)
        }
    }
}

/// The exit code where there is none of the command's: what was asked for is no room, it could not start, or nobody took what it
/// wrote.
fn code_of(error: &Error) -> u8 {
    match error {
        Error::Invalid { .. } => exit::USAGE,
        Error::Sink(source) if source.kind() == std::io::ErrorKind::BrokenPipe => BROKEN_PIPE,
        Error::Sink(_) => exit::FAILED,
        _ => exit::SANDBOX,
    }
}

/// Whether the command failed by itself, rather than because somebody stopped it.
fn wants_a_shell(outcome: &Outcome) -> bool {
    let stopped = outcome.cause == Some(Limit::Stopped) || outcome.exit == Exit::Signal(INTERRUPT);
    !outcome.success() && !stopped
}

/// Starts the command; the room stays if a shell may be wanted in it.
fn spawn(start: Option<HeadStart>, args: &Args, room: &Room) -> Result<(Child, Option<Kept>), Error> {
    if args.shell_on_failure {
        return room.spawn_keeping().map(|(child, kept)| (child, Some(kept)));
    }
    Ok((start.map_or_else(|| room.spawn(), |start| start.spawn(room))?, None))
}

/// Runs a shell in the room of a command that has ended.
fn shell(kept: &Kept) -> Result<Outcome, Error> {
    let mut room = kept.shell(SHELL);
    if let Some(terminal) = std::env::var_os("TERM") {
        room.env("TERM", terminal);
    }
    kept.enter(&room)?.wait()
}

fn room(args: &Args) -> anyhow::Result<Room> {
    let mut tree = args.tree.tree()?;
    let root = root(args, &mut tree)?;
    let mut words = args.command.iter();
    let program = words.next().cloned().unwrap_or_else(|| SHELL.into());
    let mut room = Room::new(root, program);
    room.args(words.cloned()).cwd(&args.chdir).env("PATH", PATH);
    room.mounts = tree.mounts;
    for (name, value) in tree.env {
        room.env.retain(|(old, _)| *old != name);
        room.env.extend(value.map(|value| (name, value)));
    }
    room.arg0.clone_from(&args.argv0);
    room.hostname.clone_from(&args.hostname);
    room.net = match args.net {
        Network::None => Net::None,
        Network::Loopback if !args.share_net => Net::Loopback,
        Network::Loopback | Network::Host => Net::Host,
    };
    room.sys = Some(Sysfs::Empty);
    room.ids = Ids { uid: args.uid, gid: args.gid.unwrap_or(args.uid) };
    room.range = args.id_range;
    if args.no_setid {
        room.setid = SetId::Ban;
    }
    room.limits = Limits {
        wall: args.timeout,
        grace: args.grace,
        memory: args.memory,
        processes: args.pids,
        file_size: args.ulimit_file,
        open_files: args.ulimit_nofile,
        disk: args.disk,
        ..Limits::default()
    };
    let output = if args.telling.json { Output::Pipe } else { Output::Inherit };
    (room.stdin, room.stdout, room.stderr) = (Input::Inherit, output, output);
    if args.pty {
        room.session = Session::Pty;
    } else if args.shell || std::io::stdin().is_terminal() {
        room.session = if args.shell { Session::Foreground } else { Session::Keep };
        if let Some(terminal) = std::env::var_os("TERM") {
            room.env("TERM", terminal);
        }
    }
    Ok(room)
}

/// The root, of which there is one.
fn root(args: &Args, tree: &mut Tree) -> anyhow::Result<Root> {
    let mut roots = std::mem::take(&mut tree.roots);
    roots.extend(args.root.as_ref().map(|path| Root::dir(path, Access::Rw)));
    if !args.overlay.is_empty() {
        roots.push(Root::Overlay { layers: args.overlay.clone(), upper: Upper::Tmpfs { size: TMPFS } });
    }
    if roots.len() > 1 {
        return Err(Failure::new(exit::USAGE, "the room has more than one root")
            .hint("give one of --root, --overlay, --tmpfs /, --bind DIR / and --ro-bind DIR /")
            .into());
    }
    let mut root = roots.pop().unwrap_or(Root::Empty);
    if args.ro || tree.ro {
        match &mut root {
            Root::Overlay { upper, .. } => *upper = Upper::None,
            Root::Dir { access, .. } => *access = Access::Ro,
            Root::Empty => {}
        }
    }
    Ok(root)
}

/// Standard input, if it is a terminal, with a name in the room: programs that ask for it (tmux, gpg) want to find one.
fn terminal() -> Option<Mount> {
    let own = "/proc/self/fd/0";
    let source = std::fs::read_link(own).ok()?;
    let found = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let is_it = std::io::stdin().is_terminal() && found(&source)? == found(Path::new(own))?;
    let target = PathBuf::from("/dev/console");
    is_it.then_some(Mount::Bind { source, target, access: Access::Devices, owner: Owner::Host })
}

/// Seconds, with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("'{text}' is not a number of seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Room {
        let line = Line::try_parse_from(std::iter::once("sandbox").chain(words.iter().copied())).unwrap();
        room(&line.args).unwrap()
    }

    fn refused(line: &str) -> bool {
        let words = std::iter::once("sandbox").chain(line.split_whitespace());
        room(&Line::try_parse_from(words).unwrap().args).is_err()
    }

    fn targets(room: &Room) -> Vec<&Path> {
        room.mounts.iter().map(Mount::target).collect()
    }

    #[test]
    fn nothing_named_is_an_empty_root_with_a_loopback() {
        let room = parse(&["--", "true"]);
        assert_eq!(room.root, Root::Empty);
        assert_eq!(room.net, Net::Loopback);
        assert_eq!(room.env, [("PATH".into(), PATH.into())]);
        assert!(room.mounts.is_empty() && room.seccomp);
    }

    #[test]
    fn a_bind_on_the_root_is_the_root() {
        let room = parse(&["--ro-bind", "/", "/", "--bind", "/b", "/x/y", "--tmpfs", "/x", "--", "true"]);
        assert_eq!(room.root, Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host });
        assert_eq!(targets(&room), [Path::new("/x/y"), Path::new("/x")], "in the order of the line");
        assert_eq!(parse(&["--bind", "/a", "/", "true"]).root, Root::dir("/a", Access::Rw));
        assert_eq!(parse(&["--bind", "/a", "/", "--remount-ro", "/", "true"]).root, Root::dir("/a", Access::Ro));
        let Root::Overlay { layers, upper } = parse(&["--size", "4k", "--tmpfs", "/", "true"]).root else { panic!() };
        assert_eq!((layers, upper), (Vec::new(), Upper::Tmpfs { size: 4096 }));
    }

    #[test]
    fn what_comes_later_lies_above() {
        let line = "--ro-bind /a /x --tmpfs /x --dir y/z --bind /b /x --symlink t /x --ro-bind /c /x --chmod 700 /x \
            --remount-ro /x true";
        let room = parse(&line.split_whitespace().collect::<Vec<_>>());
        let target = PathBuf::from("/x");
        let bind =
            |source: &str, access, owner| Mount::Bind { source: source.into(), target: "/x".into(), access, owner };
        let seen = [
            bind("/a", Access::Ro, Owner::Host),
            Mount::Tmpfs { target: target.clone(), size: TMPFS, mode: 0o755 },
            Mount::Folder { target: "/y/z".into(), mode: 0o755 },
            bind("/b", Access::Rw, Owner::Caller),
            Mount::Link { target: target.clone(), to: "t".into() },
            bind("/c", Access::Ro, Owner::Host),
            Mount::Mode { target: target.clone(), mode: 0o700 },
            Mount::ReadOnly { target },
        ];
        assert_eq!(room.mounts, seen);
    }

    #[test]
    fn the_environment_is_set_in_the_order_of_the_line() {
        let room = parse(
            &"--setenv A 1 --unsetenv A --unsetenv B --setenv B 2 --unsetenv PATH --setenv B 3 true"
                .split(' ')
                .collect::<Vec<_>>(),
        );
        assert_eq!(room.env, [("B".into(), "3".into())]);
    }

    #[test]
    fn permissions_and_sizes_are_the_next_ones() {
        let line = "--perms 0700 --size 1M --tmpfs /a --tmpfs /b --perms 1777 --dir /c --dir /d true";
        let room = parse(&line.split_whitespace().collect::<Vec<_>>());
        let tmpfs = |target: &str, size, mode| Mount::Tmpfs { target: target.into(), size, mode };
        let folder = |target: &str, mode| Mount::Folder { target: target.into(), mode };
        let seen = [tmpfs("/a", 1 << 20, 0o700), tmpfs("/b", TMPFS, 0o755), folder("/c", 0o1777), folder("/d", 0o755)];
        assert_eq!(room.mounts, seen);
        let wrong = [
            "--perms 700 --symlink a /b true",
            "--size 1 --dir /a true",
            "--perms 700 true",
            "--perms 4755 --dir /a true",
            "--perms 9 --dir /a true",
            "--size x --tmpfs /a true",
            "--file 9999 /a true",
            "--file x /a true",
            "--dev-bind / / true",
        ];
        for line in wrong {
            assert!(refused(line), "{line}");
        }
    }

    #[test]
    fn a_line_written_for_bubblewrap_means_the_same() {
        let words = [
            "--unshare-all",
            "--share-net",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
        ];
        let binds = [
            "--ro-bind",
            "/",
            "/",
            "--ro-bind-try",
            "/no/such/thing",
            "/x",
            "--bind-try",
            "/usr",
            "/y",
            "--uid",
            "5",
            "--gid",
            "6",
        ];
        let line: Vec<_> = words.into_iter().chain(binds).chain(["--", "true"]).collect();
        let room = parse(&line);
        assert_eq!((room.net, room.ids), (Net::Host, Ids { uid: 5, gid: 6 }));
        assert_eq!(targets(&room), [Path::new("/y")]);
        let elsewhere = ["sandbox", "--proc", "/elsewhere", "--", "true"];
        assert!(Line::try_parse_from(elsewhere).is_err(), "what would mean another thing is refused");
    }

    #[test]
    fn the_example_of_bubblewraps_manual_is_understood() {
        let line = "--ro-bind /usr /usr --dir /tmp --dir /var --symlink ../tmp var/tmp --proc /proc --dev /dev \
            --symlink usr/lib /lib --symlink usr/bin /bin --chdir / --unshare-all --share-net --die-with-parent \
            --unshare-user-try --unshare-cgroup-try --unshare-ipc --disable-userns --cap-drop ALL --cap-drop CAP_SYS_ADMIN \
            --dir /run/user/1000 --setenv XDG_RUNTIME_DIR /run/user/1000 --unsetenv PATH --argv0 shell \
            /bin/sh -c script -- --pids";
        let room = parse(&line.split_whitespace().collect::<Vec<_>>());
        assert_eq!((&room.root, room.net, room.limits.processes), (&Root::Empty, Net::Host, None));
        assert_eq!(room.env, [("XDG_RUNTIME_DIR".into(), "/run/user/1000".into())]);
        assert_eq!(room.args, ["-c", "script", "--", "--pids"]);
        assert_eq!((room.program, room.arg0), (sandbox::Program::Path("/bin/sh".into()), Some("shell".into())));
        assert!(room.mounts.contains(&Mount::Link { target: "/var/tmp".into(), to: "../tmp".into() }));
        let folders = room.mounts.iter().filter(|mount| matches!(mount, Mount::Folder { .. }));
        assert_eq!(folders.count(), 3);
    }

    #[test]
    fn the_manual_page_has_every_option() {
        use clap::CommandFactory;
        let page = include_str!("../../../../docs/man/pkg-sandbox.1").replace('\\', "");
        let command = Line::command();
        let missing: Vec<_> = command
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .filter(|long| *long != "help" && !page.contains(&format!("--{long}")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_glance_at_a_usual_line_tells_what_room_it_asks_for() {
        let lines = [
            "--ro-bind / / --proc /proc --dev /dev --tmpfs /tmp true",
            "--ro-bind / / --net none true",
            "--ro-bind /usr /usr --share-net true",
            "--overlay /a /b --net host -- true",
        ];
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let (room, likely) = (parse(&words), likely(&words.iter().map(OsString::from).collect::<Vec<_>>()));
            let whole = |room: &Room| matches!(room.root, Root::Dir { .. });
            assert_eq!((whole(&likely), likely.net), (whole(&room), room.net), "{line}");
            assert_eq!(
                (likely.ids, likely.sys, likely.dev, likely.tmp),
                (room.ids, room.sys, room.dev, room.tmp),
                "{line}"
            );
        }
    }

    #[test]
    fn two_roots_are_refused() {
        assert!(refused("--root /a --ro-bind / / -- true") && refused("--overlay /a --tmpfs / -- true"));
        assert!(refused("--root /a --bind-try /usr / -- true"));
    }

    #[test]
    fn any_bind_on_the_root_is_the_root() {
        let of = |words: &[&str]| parse(&[words, &["--", "true"]].concat()).root;
        assert_eq!(of(&["--bind", "/usr", "/"]), of(&["--root", "/usr"]));
        assert_eq!(of(&["--bind-try", "/usr", "/", "--ro"]), of(&["--root", "/usr", "--ro"]));
        assert_eq!(of(&["--ro-bind-try", "/usr", "/"]), of(&["--ro-bind", "/usr", "/"]));
        assert_eq!(of(&["--bind-try", "/no/such", "/"]), Root::Empty);
    }

    #[test]
    fn the_heading_of_what_is_always_on_stands_over_nothing_else() {
        use clap::CommandFactory;
        let command = Line::command();
        let headed = |arg: &&clap::Arg| arg.get_help_heading().is_some();
        let headed: Vec<_> = command.get_arguments().filter(headed).map(|arg| arg.get_id().as_str()).collect();
        assert!(headed.contains(&"unshare_all"));
        assert!(["timeout", "memory", "shell", "command"].iter().all(|name| !headed.contains(name)), "{headed:?}");
    }

    #[test]
    fn limits_are_read_with_their_units() {
        let line = "--timeout 1.5 --memory 2G --pids 9 --ulimit-file 10k --ulimit-nofile 7 --disk 1M -- true";
        let room = parse(&line.split(' ').collect::<Vec<_>>());
        assert_eq!((room.limits.open_files, room.limits.disk), (Some(7), Some(1 << 20)));
        assert_eq!(room.limits.wall, Some(Duration::from_millis(1500)));
        assert_eq!(room.limits.memory, Some(2 << 30));
        assert_eq!(room.limits.processes, Some(9));
        assert_eq!(room.limits.file_size, Some(10 << 10));
        assert!(
            ["-1", "abc", "1e400", "nan"].iter().all(|text| seconds(text).unwrap_err().ends_with("number of seconds"))
        );
        assert!(size("99999999999T").is_err() && size("").is_err() && size("é").is_err());
    }
}
