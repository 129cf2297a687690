//! What a command line says of the room's tree and environment, in the order in which it says it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use sandbox::{Access, Mount, Owner, Root, Upper};

use super::TMPFS;
use crate::exit;
use crate::failure::Failure;
use crate::options::size;

/// Bytes that one descriptor may give.
const MOST: u64 = 64 << 20;

/// What names an option, what it takes, and what it does.
type Described = (&'static str, &'static [&'static str], &'static str);

const BIND: &[&str] = &["SRC", "DST"];
const DATA: &[&str] = &["FD", "DST"];
const PLACE: &[&str] = &["DST"];

const OPTIONS: [Described; 21] = [
    ("ro-bind", BIND, "Show SRC read-only at DST; `/ /` makes the host's tree the root"),
    ("bind", BIND, "Show SRC writable at DST"),
    ("dev-bind", BIND, "The same, and devices in it work"),
    ("ro-bind-try", BIND, "The same as --ro-bind where SRC exists"),
    ("bind-try", BIND, "The same as --bind where SRC exists"),
    ("dev-bind-try", BIND, "The same as --dev-bind where SRC exists"),
    ("tmpfs", PLACE, "Put an empty file system in memory at DST"),
    ("mqueue", PLACE, "Show the room's message queues at DST"),
    ("dir", PLACE, "Make a folder at DST, where there is none, in an empty or layered root or an earlier mount"),
    ("symlink", &["TO", "DST"], "Make DST a symbolic link to TO, in the same places"),
    ("file", DATA, "Copy what can be read from FD into a file at DST"),
    ("bind-data", DATA, "The same, into a file in memory that is mounted at DST"),
    ("ro-bind-data", DATA, "The same, read-only"),
    ("chmod", &["OCTAL", "DST"], "Give DST, which is there, other permissions"),
    ("remount-ro", PLACE, "Make the mount at DST read-only"),
    (
        "perms",
        &["OCTAL"],
        "Permissions of what the next option makes: --dir, --tmpfs, --file, --bind-data, --ro-bind-data",
    ),
    ("size", &["SIZE"], "Bytes of the next --tmpfs (K, M, G, T are powers of 1024)"),
    ("setenv", &["NAME", "VALUE"], "Set an environment variable"),
    ("unsetenv", &["NAME"], "Take an environment variable away, PATH for example"),
    ("args", &["FD"], "Read more options from this descriptor, each with a NUL byte at its end"),
    ("sync-fd", &["FD"], "Keep this descriptor open while the room is there, which the command does with all"),
];

/// The options about tree and environment, as they came.
#[derive(Debug, Default)]
pub(super) struct Operations(Vec<(&'static str, Vec<OsString>)>);

impl clap::Args for Operations {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().fold(command, |command, (name, values, help)| {
            let argument = Arg::new(*name).long(*name).help(*help).value_names(*values).num_args(values.len());
            command.arg(argument.value_parser(clap::value_parser!(OsString)).action(ArgAction::Append))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Operations {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found = Vec::new();
        for (name, values, _) in &OPTIONS {
            let (Some(places), Some(words)) = (matches.indices_of(name), matches.get_many::<OsString>(name)) else {
                continue;
            };
            let (places, words): (Vec<_>, Vec<_>) = (places.collect(), words.cloned().collect());
            let each = places.chunks(values.len()).zip(words.chunks(values.len()));
            found.extend(each.map(|(place, words)| (place.first().copied(), *name, words.to_vec())));
        }
        found.sort_by_key(|(place, ..)| *place);
        Ok(Self(found.into_iter().map(|(_, name, words)| (name, words)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Tree and environment as the options describe them.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The roots that were named.
    pub roots: Vec<Root>,
    pub mounts: Vec<Mount>,
    /// Variables that are set, and taken away.
    pub env: Vec<(OsString, Option<OsString>)>,
    /// Whether the root is to be read-only.
    pub ro: bool,
    perms: Option<u32>,
    size: Option<u64>,
}

impl Operations {
    /// Reads what descriptors have to give, and puts all together.
    pub(super) fn tree(&self) -> Result<Tree, Failure> {
        let mut tree = Tree::default();
        for (name, words) in &self.0 {
            let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
            tree.add(name, &words)?;
        }
        tree.none_waits("the end of the line")?;
        Ok(tree)
    }
}

impl Tree {
    fn add(&mut self, name: &str, words: &[&OsStr]) -> Result<(), Failure> {
        match (name, words) {
            ("perms", [mode]) => self.perms = Some(octal(mode)?),
            ("size", [bytes]) => self.size = Some(size(&text(bytes)?).map_err(|why| wrong(&why))?),
            ("setenv", [name, value]) => self.env.push((name.into(), Some(value.into()))),
            ("unsetenv", [name]) => self.env.push((name.into(), None)),
            ("args", _) => {
                return Err(wrong("--args stands among what --args gives, or after options of pkg's own")
                    .hint("give it as an option of sandbox, and options as -q after it"));
            }
            ("sync-fd", [number]) => drop(opened("sync-fd", number)?),
            ("remount-ro", [target]) if from_root(target) == Path::new("/") => self.ro = true,
            ("tmpfs", [target]) if from_root(target) == Path::new("/") => {
                let upper = Upper::Tmpfs { size: self.size.take().unwrap_or(TMPFS) };
                self.perms = None;
                self.roots.push(Root::Overlay { layers: Vec::new(), upper });
            }
            (name, [.., target]) => {
                let mount = self.mount(name, words, from_root(target))?;
                self.none_waits(&format!("--{name}"))?;
                self.mounts.extend(mount);
            }
            (_, []) => {}
        }
        Ok(())
    }

    /// What the option mounts or makes at `target`.
    fn mount(&mut self, name: &str, words: &[&OsStr], target: PathBuf) -> Result<Option<Mount>, Failure> {
        let first = words.first().copied().unwrap_or_default();
        let mount = match name {
            "tmpfs" => Mount::Tmpfs { target, size: self.size.take().unwrap_or(TMPFS), mode: self.mode(0o755) },
            "mqueue" => Mount::Queues { target },
            "dir" => Mount::Folder { target, mode: self.mode(0o755) },
            "symlink" => Mount::Link { target, to: first.into() },
            "file" => Mount::File { target, contents: contents(name, first)?, mode: self.mode(0o666) },
            "bind-data" | "ro-bind-data" => {
                let access = if name == "bind-data" { Access::Rw } else { Access::Ro };
                Mount::Data { target, contents: contents(name, first)?, mode: self.mode(0o600), access }
            }
            "chmod" => Mount::Mode { target, mode: octal(first)? },
            "remount-ro" => Mount::ReadOnly { target },
            _ => return self.bind(name, Path::new(first), target),
        };
        Ok(Some(mount))
    }

    fn bind(&mut self, name: &str, source: &Path, target: PathBuf) -> Result<Option<Mount>, Failure> {
        let (kind, tried) = name.strip_suffix("-try").map_or((name, false), |kind| (kind, true));
        if tried && !source.exists() {
            return Ok(None);
        }
        let (source, at_root) = (source.to_owned(), target == Path::new("/"));
        // As root, what only root may read stays unreadable unless it is handed over for writing.
        let (access, owner) = match kind {
            "ro-bind" => (Access::Ro, Owner::Host),
            "bind" => (Access::Rw, Owner::Caller),
            _ if at_root => {
                return Err(wrong("a room's root has no devices").hint("give --bind DIR / and --dev-bind /dev /dev"));
            }
            _ => (Access::Devices, Owner::Host),
        };
        if at_root {
            self.roots.push(Root::Dir { path: source, access, owner });
            return Ok(None);
        }
        Ok(Some(Mount::Bind { source, target, access, owner }))
    }

    fn mode(&mut self, usual: u32) -> u32 {
        self.perms.take().unwrap_or(usual)
    }

    /// Refuses permissions and a size that nothing takes.
    fn none_waits(&self, before: &str) -> Result<(), Failure> {
        let waits = if self.perms.is_some() { "--perms" } else { "--size" };
        if self.perms.is_none() && self.size.is_none() {
            return Ok(());
        }
        Err(wrong(&format!("{waits} before {before} means nothing")).hint(
            "--perms belongs before --dir, --tmpfs, --file, --bind-data or --ro-bind-data, --size before --tmpfs",
        ))
    }
}

fn wrong(what: &str) -> Failure {
    Failure::new(exit::USAGE, what.to_owned())
}

/// As in bwrap, a place without its first slash is meant from the root.
fn from_root(target: &OsStr) -> PathBuf {
    Path::new("/").join(target)
}

fn text(word: &OsStr) -> Result<String, Failure> {
    word.to_str().map(str::to_owned).ok_or_else(|| wrong(&format!("{} is no number", word.display())))
}

/// Mode bits; setid bits are nothing in a room.
fn octal(word: &OsStr) -> Result<u32, Failure> {
    let mode = u32::from_str_radix(&text(word)?, 8).ok().filter(|mode| *mode <= 0o1777);
    mode.ok_or_else(|| wrong(&format!("'{}' are no permissions: octal, 1777 at most", word.display())))
}

/// The descriptor of this number.
pub(super) fn opened(option: &str, number: &OsStr) -> Result<std::fs::File, Failure> {
    let found = text(number)?.parse().ok().map(sandbox::inherited);
    match found {
        Some(Ok(copy)) => Ok(copy.into()),
        Some(Err(error)) => {
            Err(wrong(&format!("the --{option} descriptor {} cannot be used: {error}", number.display())))
        }
        None => Err(wrong(&format!("'{}' is no descriptor", number.display()))),
    }
}

/// All that can be read from a descriptor.
pub(super) fn contents(option: &str, number: &OsStr) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = opened(option, number)?.take(MOST + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        Failure::new(exit::FAILED, format!("the --{option} descriptor {} cannot be read: {error}", number.display()))
    })?;
    if bytes.len() as u64 > MOST {
        return Err(wrong(&format!("the --{option} descriptor {} gives more than {MOST} bytes", number.display())));
    }
    Ok(bytes)
}
