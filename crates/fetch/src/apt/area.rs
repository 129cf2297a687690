//! Lists, caches and configuration of one use of apt, apart from the machine's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pkgfs::{Durability, ErrorKind, Root};
use pkgtypes::{Mode, PkgPath};

use super::AptOptions;
use super::child::{self, Output};
use super::entries::{self, Kind};
use crate::error::Failure;
use crate::progress::Relay;
use crate::{Error, Reason, Result};

const FOLDER: Mode = Mode::from_raw(0o755);
const FILE: Mode = Mode::from_raw(0o644);

/// Whose lists are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lists {
    /// The machine's, as they are.
    Machine,
    /// Ours.
    Private,
}

/// A folder of ours, written anew for each use; only lists and caches stay.
pub(crate) struct Area<'a> {
    options: &'a AptOptions,
    kind: Kind,
    root: Root,
    /// The sources, as they are written now.
    sources: String,
}

impl<'a> Area<'a> {
    pub(crate) fn prepare(options: &'a AptOptions, state: &Root, kind: Kind, lists: Lists) -> Result<Self, Failure> {
        let name: &[u8] = match (lists, kind) {
            (Lists::Machine, Kind::Binary) => b"machine-debs",
            (Lists::Machine, Kind::Source) => b"machine-sources",
            (Lists::Private, Kind::Binary) => b"debs",
            (Lists::Private, Kind::Source) => b"sources",
        };
        let top = path(name);
        state.create_dirs(&top, FOLDER)?;
        let root = state.sub(&top)?;
        for folder in ["lists/partial", "cache/archives/partial", "sources.d", "state", "log"] {
            root.create_dirs(&path(folder.as_bytes()), FOLDER)?;
        }
        let lines = read_entries(options, ".list", |text| entries::from_lines(text, kind))?;
        let stanzas = read_entries(options, ".sources", |text| entries::from_stanzas(text, kind))?;
        let area = Self { options, kind, root, sources: format!("{}\n\n{}\n", lines.join("\n"), stanzas.join("\n")) };
        area.write("sources.d/machine.list", &format!("{}\n", lines.join("\n")))?;
        area.write("sources.d/machine.sources", &stanzas.join("\n"))?;
        area.write("status", "")?;
        let lists = match (lists, &options.machine_lists) {
            (Lists::Machine, Some(machine)) => machine.clone(),
            _ => area.full("lists"),
        };
        area.write("apt.conf", &area.configuration(&lists)?)?;
        Ok(area)
    }

    fn full(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(self.root.write_file(&path(name.as_bytes()), FILE, text.as_bytes(), Durability::Atomic)?)
    }

    /// Read after the machine's own configuration, whose proxies, passwords, keyrings and pins stay.
    fn configuration(&self, lists: &Path) -> Result<String, Reason> {
        let quoted = |path: &Path| match path.to_str() {
            Some(text) if !text.chars().any(|c| c == '"' || c == '\\' || c.is_control()) => Ok(format!("\"{text}\"")),
            _ => Err(Reason::Apt { text: format!("a path such as {path:?} can not stand in apt's configuration") }),
        };
        let own = |name: &str| quoted(&self.full(name));
        let seconds = self.options.timeout.as_secs().max(1);
        Ok(format!(
            "Dir::State {state};\nDir::State::lists {lists};\nDir::State::status {status};\n\
             Dir::State::extended_states {extended};\n\
             Dir::Cache {cache};\nDir::Cache::archives \"archives\";\n\
             Dir::Cache::pkgcache \"pkgcache.bin\";\nDir::Cache::srcpkgcache \"\";\n\
             Dir::Log {log};\n\
             Dir::Etc::sourcelist \"/dev/null\";\nDir::Etc::sourceparts {parts};\n\
             APT::Sandbox::User \"root\";\n\
             Acquire::Retries \"1\";\nAcquire::http::Timeout \"{seconds}\";\nAcquire::https::Timeout \"{seconds}\";\n\
             #clear Acquire::Languages;\nAcquire::Languages \"none\";\n\
             #clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n",
            state = own("state")?,
            lists = quoted(lists)?,
            status = own("status")?,
            extended = own("state/extended_states")?,
            cache = own("cache")?,
            log = own("log")?,
            parts = own("sources.d")?,
        ))
    }

    fn run(&self, program: &Path, arguments: &[String], at: &Path, go_on: impl FnMut() -> bool) -> Ran {
        let arrange = |command: &mut std::process::Command| {
            command.arg("-c").arg(self.full("apt.conf")).arg("-q").args(arguments).current_dir(at);
        };
        child::run(program, arrange, go_on)
    }

    /// Whether the lists were brought completely, from the sources as they are now.
    pub(crate) fn is_complete(&self) -> bool {
        use std::io::Read;
        let mut text = String::new();
        let read = self.root.open_file(&path(b"complete")).map(|mut file| file.read_to_string(&mut text));
        matches!(read, Ok(Ok(_))) && text == self.sources
    }

    /// Brings the lists; what did not work is the answer, and what is there can be used all the same.
    pub(crate) fn update(&self, relay: &Relay) -> Result<Option<String>, Failure> {
        let name = match self.kind {
            Kind::Binary => "package lists",
            Kind::Source => "source package lists",
        };
        let told = relay.begin(name, "apt-get update");
        let partial = path(b"lists/partial");
        let done = self.run(&self.options.apt_get, &["update".to_owned()], self.root.path(), || {
            told.advance(size_of(&self.root, Some(&partial)), None)
        })?;
        let failed = |line: &str| line.contains("Failed to fetch") || line.contains("index files failed");
        if done.status.success() && !done.complaint_lines().any(failed) {
            self.write("complete", &self.sources)?;
            return Ok(None);
        }
        Ok(Some(done.complaints()))
    }

    /// The versions that the lists have of each package.
    pub(crate) fn versions(&self, names: &[&str], relay: &Relay) -> Result<Versions, Failure> {
        let arguments = arguments(&["madison", "--"], names.iter().copied());
        let done = self.run(&self.options.apt_cache, &arguments, self.root.path(), || relay.goes_on())?;
        let mut versions = Versions::new();
        for line in done.stdout.lines() {
            let mut columns = line.split('|').map(str::trim);
            let (Some(name), Some(version)) = (columns.next(), columns.next()) else { continue };
            let known = versions.entry(name.to_owned()).or_default();
            if !known.iter().any(|known| known == version) {
                known.push(version.to_owned());
            }
        }
        Ok(versions)
    }

    /// What the lists say of the packages, in their own form.
    pub(crate) fn show(&self, names: &[&str], relay: &Relay) -> Result<Output, Failure> {
        let arguments = arguments(&["show", "--no-all-versions", "--"], names.iter().copied());
        self.run(&self.options.apt_cache, &arguments, self.root.path(), || relay.goes_on())
    }

    /// Has apt put the packages into `folder`; what it could not is found out by looking there.
    pub(crate) fn download(&self, wanted: &[String], folder: &Root, relay: &Relay) -> Ran {
        let fixed: &[&str] = match self.kind {
            Kind::Binary => &["download", "--"],
            Kind::Source => &["source", "--download-only", "--only-source", "--"],
        };
        let name = match wanted {
            [one] => one.clone(),
            many => format!("{} packages", many.len()),
        };
        let told = relay.begin(&name, "apt");
        let arguments = arguments(fixed, wanted.iter().map(String::as_str));
        let done =
            self.run(&self.options.apt_get, &arguments, folder.path(), || told.advance(size_of(folder, None), None));
        told.advance(size_of(folder, None), None);
        done
    }
}

pub(crate) type Versions = BTreeMap<String, Vec<String>>;
type Ran = Result<Output, Failure>;

fn path(name: &[u8]) -> PkgPath {
    PkgPath::new(name).expect("the name is a constant")
}

fn arguments<'a>(fixed: &[&'a str], more: impl Iterator<Item = &'a str>) -> Vec<String> {
    fixed.iter().copied().chain(more).map(str::to_owned).collect()
}

/// The bytes of the files in a folder; those that vanish meanwhile count as nothing.
fn size_of(root: &Root, folder: Option<&PkgPath>) -> u64 {
    let child = |name: &[u8]| match folder {
        Some(folder) => folder.join(name).ok(),
        None => PkgPath::new(name).ok(),
    };
    let size = |name: &[u8]| root.stat(&child(name)?).ok().flatten().map(|stat| stat.size);
    root.read_dir(folder).map_or(0, |names| names.iter().filter_map(|name| size(name)).sum())
}

/// What the machine's files of one form say: `sources.list` and the folder beside it.
fn read_entries(options: &AptOptions, ending: &str, read: impl Fn(&str) -> Vec<String>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    if ending == ".list" {
        files.push(options.etc.join("sources.list"));
    }
    match Root::open(options.etc.join("sources.list.d")) {
        Ok(folder) => {
            let names = folder.read_dir(None)?;
            let names = names.iter().filter_map(|name| std::str::from_utf8(name).ok());
            files.extend(names.filter(|name| entries::is_read(name, ending)).map(|name| folder.path().join(name)));
        }
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut entries = Vec::new();
    for file in files {
        match std::fs::read(&file) {
            Ok(bytes) => {
                for entry in read(&String::from_utf8_lossy(&bytes)) {
                    if !entries.contains(&entry) {
                        entries.push(entry);
                    }
                }
            }
            // One that only root may read holds a password, and its place can not be asked then.
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied) => {}
            Err(source) => return Err(Error::Read { operation: "read", path: file, source }),
        }
    }
    Ok(entries)
}
