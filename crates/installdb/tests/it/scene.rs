//! A root of its own for a test, and packages made on the spot.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use installdb::{Done, Incoming, InstallDb, Installed, Options, Request, Result, Source};
use pkgformat::{Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Reader, Use, Writer};
use pkgtypes::{Digest, Mode, PackageName, PkgPath, Timestamp};
use trust::{Exception, FixedClock, SigArchive, Store, Verified, Want};

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub(crate) fn path(text: &str) -> PkgPath {
    PkgPath::new(text.as_bytes()).unwrap()
}

pub(crate) fn name(text: &str) -> PackageName {
    text.parse().unwrap()
}

/// The ids that a package's files get here: the caller's own, so that nothing is left unset for an ordinary user.
pub(crate) fn me() -> (String, String) {
    let own = fs::metadata("/proc/self").unwrap();
    (own.uid().to_string(), own.gid().to_string())
}

/// A package in the making.
#[derive(Clone)]
pub(crate) struct Pack {
    pub(crate) meta: PackageMeta,
    entries: BTreeMap<PkgPath, Entry>,
    pub(crate) contents: BTreeMap<Digest, Vec<u8>>,
    owner: (String, String),
}

/// A package and its bytes.
#[derive(Clone)]
pub(crate) struct Packed {
    pub(crate) record: PackageRecord,
    pub(crate) bytes: Vec<u8>,
}

/// `name version-release`, with the caller as the owner of everything.
pub(crate) fn pack(spec: &str) -> Pack {
    let (name, full) = spec.split_once(' ').unwrap();
    let (version, release) = full.split_once('-').unwrap();
    let parts = (name.parse().unwrap(), version.parse().unwrap(), release.parse().unwrap());
    let meta = PackageMeta::new(parts.0, parts.1, parts.2, "noarch".parse().unwrap());
    Pack { meta, entries: BTreeMap::new(), contents: BTreeMap::new(), owner: me() }
}

impl Pack {
    pub(crate) fn owned_by(mut self, user: &str, group: &str) -> Self {
        self.owner = (user.to_owned(), group.to_owned());
        self
    }

    pub(crate) fn entry(mut self, at: &str, kind: EntryKind) -> Self {
        for folder in path(at).ancestors() {
            if !self.entries.contains_key(&folder) {
                self = self.insert(Entry::new(folder, EntryKind::Dir { mode: Mode::from_raw(0o755) }));
            }
        }
        self.insert(Entry::new(path(at), kind))
    }

    fn insert(mut self, mut entry: Entry) -> Self {
        if !matches!(entry.kind, EntryKind::Hardlink { .. } | EntryKind::Ghost) {
            entry.owner = self.owner.0.parse().unwrap();
            entry.group = self.owner.1.parse().unwrap();
            entry.mtime = Timestamp::from_seconds(1_000_000_000);
        }
        self.entries.insert(entry.path.clone(), entry);
        self
    }

    pub(crate) fn file(mut self, at: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        let (mode, content) = (Mode::from_raw(mode), content.as_ref().to_vec());
        let digest = Digest::of(&content);
        let kind = EntryKind::File { mode, size: content.len() as u64, digest, elf: None };
        self.contents.insert(digest, content);
        self.entry(at, kind)
    }

    pub(crate) fn config(mut self, at: &str, content: &str) -> Self {
        self = self.file(at, 0o644, content);
        self.edit(at, |entry| {
            entry.uses.insert(Use::Config);
        })
    }

    pub(crate) fn edit(mut self, at: &str, change: impl FnOnce(&mut Entry)) -> Self {
        change(self.entries.get_mut(&path(at)).unwrap());
        self
    }

    /// Another path for what is there, which need not be text.
    pub(crate) fn called(mut self, at: &str, bytes: &[u8]) -> Self {
        let mut entry = self.entries.remove(&path(at)).unwrap();
        entry.path = PkgPath::new(bytes).unwrap();
        self.entries.insert(entry.path.clone(), entry);
        self
    }

    pub(crate) fn dir(self, at: &str, mode: u32) -> Self {
        self.entry(at, EntryKind::Dir { mode: Mode::from_raw(mode) })
    }

    /// The folder alone, for trees of so many that those above each are not asked for every time.
    pub(crate) fn only_dir(self, at: &str) -> Self {
        self.insert(Entry::new(path(at), EntryKind::Dir { mode: Mode::from_raw(0o755) }))
    }

    pub(crate) fn symlink(self, at: &str, target: &str) -> Self {
        self.entry(at, EntryKind::Symlink { target: target.into() })
    }

    pub(crate) fn hardlink(self, at: &str, target: &str) -> Self {
        self.entry(at, EntryKind::Hardlink { target: path(target) })
    }

    pub(crate) fn meta(mut self, change: impl FnOnce(&mut PackageMeta)) -> Self {
        change(&mut self.meta);
        self
    }

    pub(crate) fn build(self) -> Packed {
        let manifest = Manifest::new(self.entries.into_values().collect()).unwrap();
        let record = PackageRecord::new(self.meta, manifest).unwrap();
        let mut writer = Writer::new(Vec::new(), &record).unwrap();
        for blob in record.blobs() {
            let content = &self.contents[&blob.digest];
            writer.blob(content.len() as u64, &content[..]).unwrap();
        }
        let (bytes, _) = writer.finish().unwrap();
        Packed { record, bytes }
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Packed {
    pub(crate) fn load(file: &Path) -> Self {
        let bytes = fs::read(file).unwrap();
        let record = Reader::open(&bytes[..], Limits::default()).unwrap().into_package();
        Self { record, bytes }
    }

    /// Accepted by the user's word, which is all that a root without keys has.
    pub(crate) fn verified(&self) -> Verified<PackageRecord> {
        let exception = Exception { name: self.record.meta().name.clone(), package_id: self.record.id() };
        let want = Want { exception: Some(exception), ..Want::default() };
        let clock = FixedClock(Some(NOW));
        let decision = trust::evaluate(&Store::default(), &want, &self.record, &SigArchive::new(), &clock);
        decision.into_verified(self.record.clone()).unwrap()
    }

    /// Some of its contents.
    pub(crate) fn contents(&self, digests: &[Digest]) -> Vec<Vec<u8>> {
        let mut reader = Reader::open(&self.bytes[..], Limits::default()).unwrap();
        let mut contents = Vec::new();
        while let Some(mut blob) = reader.next_blob().unwrap() {
            let mut content = Vec::new();
            blob.read_to_end(&mut content).unwrap();
            contents.extend(digests.contains(&Digest::of(&content)).then_some(content));
        }
        contents
    }

    pub(crate) fn incoming(&self) -> Incoming<'_> {
        self.incoming_from(&self.bytes[..])
    }

    /// The same package, its content from other bytes.
    pub(crate) fn incoming_from<'p>(&self, bytes: impl Read + Send + 'p) -> Incoming<'p> {
        let reader = Reader::open(Source::new(bytes), Limits::default()).unwrap();
        Incoming::new(self.verified(), reader).unwrap()
    }
}

/// A folder in memory where there is one, and nobody waits for a disk.
pub(crate) fn scratch_in_memory() -> tempfile::TempDir {
    let scratch = match memory() {
        Some(memory) => tempfile::tempdir_in(memory),
        None => tempfile::tempdir(),
    };
    let scratch = scratch.unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    scratch
}

/// A file system in memory that has extended attributes and runs programs.
fn memory() -> Option<&'static Path> {
    static MEMORY: OnceLock<bool> = OnceLock::new();
    let memory = Path::new("/dev/shm");
    let can_all = || {
        let probe = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempfile_in(memory).ok()?;
        pkgfs::fd::set_xattr(probe.as_file(), b"user.probe", b"1").ok()?;
        let flags = rustix::fs::statvfs(memory).ok()?.f_flag;
        (!flags.contains(rustix::fs::StatVfsMountFlags::NOEXEC)).then_some(())
    };
    MEMORY.get_or_init(|| can_all().is_some()).then_some(memory)
}

/// A folder that goes with all that is in it, whatever may be written there.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl From<tempfile::TempDir> for Scratch {
    fn from(folder: tempfile::TempDir) -> Self {
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !rustix::process::geteuid().is_root() {
            // What is not this user's can not be taken away either.
            let _ = std::process::Command::new("chmod").args(["-Rf", "u+w"]).arg(self.path()).status();
        }
    }
}

/// A root.
pub(crate) struct Scene {
    scratch: Scratch,
    pub(crate) options: Options,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { scratch: scratch.into(), options: Options::default() }
    }

    pub(crate) fn in_memory() -> Self {
        Self { scratch: scratch_in_memory().into(), options: Options::default() }
    }

    /// The same once more, in memory.
    pub(crate) fn copied(&self) -> Self {
        Self { scratch: crate::interruption::copy(self.root()), options: self.options }
    }

    pub(crate) fn root(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), content).unwrap();
    }

    pub(crate) fn open(&self) -> InstallDb {
        InstallDb::open(self.root()).unwrap()
    }

    pub(crate) fn installed(&self) -> Installed {
        Installed::open(self.root()).unwrap()
    }

    pub(crate) fn request<'p>(&self, install: &[&'p Packed], remove: &[&str]) -> Request<'p> {
        Request { options: self.options, ..request(install, remove) }
    }

    pub(crate) fn change(&self, install: &[&Packed], remove: &[&str]) -> Result<Done> {
        run(&mut InstallDb::open(self.root())?, self.request(install, remove))
    }

    pub(crate) fn install(&self, install: &[&Packed]) -> Done {
        self.change(install, &[]).unwrap()
    }

    pub(crate) fn remove(&self, remove: &[&str]) -> Done {
        self.change(&[], remove).unwrap()
    }

    pub(crate) fn packages(&self) -> Vec<String> {
        let listed = self.installed().list(&[]).unwrap();
        listed.iter().map(|package| format!("{} {}-{}", package.name, package.version, package.release)).collect()
    }

    /// Everything in the root but our own folder: path, type, mode, content or target.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, String> {
        snapshot(self.root())
    }

    #[track_caller]
    pub(crate) fn assert_verified(&self) {
        assert_eq!(self.installed().verify(&[]).unwrap(), []);
    }
}

pub(crate) fn run(db: &mut InstallDb, request: Request<'_>) -> Result<Done> {
    db.plan(request)?.check()?.stage(&mut ())?.commit()?.finish(NOW)
}

pub(crate) fn request<'p>(install: &[&'p Packed], remove: &[&str]) -> Request<'p> {
    let mut request = Request::new(NOW);
    request.install = install.iter().map(|&packed| packed.incoming()).collect();
    request.remove = remove.iter().map(|text| name(text)).collect();
    request.argv = vec![b"pkg".to_vec(), b"install".to_vec()];
    request
}

/// Everything in a root but our own folder: path, type, mode, owner, number of names, time, content or target.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let at = entry.unwrap().path();
            let relative = at.strip_prefix(root).unwrap().to_owned();
            let ours = [&b"var/lib/kista/"[..], crate::home::ELSEWHERE.as_bytes()];
            if ours.iter().any(|ours| relative.as_os_str().as_bytes().starts_with(ours)) {
                continue;
            }
            let stat = fs::symlink_metadata(&at).unwrap();
            let what = if stat.is_dir() {
                folders.push(at.clone());
                String::new()
            } else if stat.is_symlink() {
                format!("-> {}", fs::read_link(&at).unwrap().display())
            } else if stat.is_file() {
                format!("x{} @{} {}", stat.nlink(), stat.mtime(), content(&fs::read(&at).unwrap()))
            } else {
                format!("special {}", stat.rdev())
            };
            let xattrs = xattrs(&at);
            found.insert(relative, format!("{:o} {}:{} {what}{xattrs}", stat.mode(), stat.uid(), stat.gid()));
        }
    }
    found
}

/// A content as it is shown: that of a program, by its digest.
fn content(bytes: &[u8]) -> String {
    match bytes.len() {
        0..65536 => String::from_utf8_lossy(bytes).into_owned(),
        _ => Digest::of(bytes).to_string(),
    }
}

/// The extended attributes of what is there, none where there is none.
fn xattrs(at: &Path) -> String {
    let mut names = [0; 1024];
    let length = rustix::fs::llistxattr(at, &mut names).unwrap_or(0);
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let mut all: Vec<String> = names
        .map(|name| {
            let mut value = [0; 1024];
            let length = rustix::fs::lgetxattr(at, name, &mut value).unwrap_or(0);
            format!(" {}={}", String::from_utf8_lossy(name), value[..length].escape_ascii())
        })
        .collect();
    all.sort();
    all.concat()
}
