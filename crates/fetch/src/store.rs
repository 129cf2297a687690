use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use pkgfs::{ErrorKind, FileKind, Lock, LockKind, Rename, Root, TempDir, Wait, Walk};
use pkgtypes::{Digest, Hasher, Mode, PkgPath};

use crate::part::Part;
use crate::stale::are_two_versions;
use crate::{Error, Result};

const FOLDER: Mode = Mode::from_raw(0o755);
const FILE: Mode = Mode::from_raw(0o644);
pub(crate) const PRIVATE: Mode = Mode::from_raw(0o600);
/// Bytes read at once.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Unfinished files, in the store's top.
const PARTS: &[u8] = b"part";
const LOCK: &[u8] = b"lock";
/// What pkgfs puts before the names of its temporaries.
const TEMPORARY: &[u8] = b".kista.";

/// The sources that are here, each under its SHA-256: `<store>/<digest>/<name>`.
///
/// A folder holds one file, under every name by which it was asked for. Files get into it by one rename once they are
/// complete and verified, so any number of processes can use one store, and a process that is killed leaves nothing
/// but rubbish, which the next one that is alone clears away.
#[derive(Debug)]
pub struct SourceStore {
    root: Root,
    /// Held as long as temporaries of ours may be there; `None` where the store can only be read.
    _alive: Option<Lock>,
}

impl SourceStore {
    /// Opens the store at `path`, and makes it where it is missing.
    ///
    /// # Errors
    /// The folder can not be made or read.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let root = Root::create(path, FOLDER)?;
        let alive = match claim(&root) {
            Ok(lock) => Some(lock),
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::ReadOnly) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { root, _alive: alive })
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The file with this digest, as it was when it was stored; [`SourceStore::open_verified`] looks again.
    pub fn find(&self, digest: Digest) -> Option<PathBuf> {
        let name = self.names(digest).ok()?.into_iter().next()?;
        Some(self.full(digest, &name))
    }

    /// The names by which the file with this digest is known, sorted; none when it is not here.
    ///
    /// # Errors
    /// The digest's folder can not be read.
    pub fn names(&self, digest: Digest) -> Result<Vec<String>> {
        match self.root.read_dir(Some(&folder_of(digest))) {
            Ok(names) => {
                Ok(names.iter().filter_map(|name| std::str::from_utf8(name).ok()).map(str::to_owned).collect())
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file with this digest once its content has been found to have it; `None` when it is not here. A file
    /// that was damaged is removed, and so not here either.
    ///
    /// # Errors
    /// The file can not be read.
    pub fn open_verified(&self, digest: Digest) -> Result<Option<File>> {
        let Some(name) = self.names(digest)?.into_iter().next() else { return Ok(None) };
        let mut file = self.root.open_file(&child(&folder_of(digest), &name)?)?;
        let read = |source| Error::Read { operation: "read", path: self.full(digest, &name), source };
        if hash(&mut file).map_err(read)? != digest {
            self.root.remove_tree(&folder_of(digest))?;
            return Ok(None);
        }
        file.rewind().map_err(read)?;
        Ok(Some(file))
    }

    /// The file with this digest for someone who calls it `name`, verified; `None` when it is not here. The name is
    /// remembered.
    ///
    /// # Errors
    /// The store knows the digest under another version's file name ([`Error::StaleDigest`]); the file can not be read.
    pub fn ask(&self, digest: Digest, name: &str) -> Result<Option<PathBuf>> {
        check_name(name)?;
        if let Some(known) = self.names(digest)?.into_iter().find(|known| are_two_versions(known, name)) {
            let folder = self.root.path().join(folder_of(digest));
            return Err(Error::StaleDigest { name: name.to_owned(), digest, known, folder });
        }
        match self.open_verified(digest)? {
            Some(_) => self.remember(digest, name),
            None => Ok(None),
        }
    }

    /// Gives the file one more name, where it has it not yet.
    fn remember(&self, digest: Digest, name: &str) -> Result<Option<PathBuf>> {
        let Some(first) = self.names(digest)?.into_iter().next() else { return Ok(None) };
        let folder = folder_of(digest);
        match self.root.hard_link(&child(&folder, &first)?, &child(&folder, name)?) {
            Ok(()) => Ok(Some(self.full(digest, name))),
            Err(error) if error.kind == ErrorKind::Exists => Ok(Some(self.full(digest, name))),
            // The name is for later; a store that can only be read, or a file system without links, serves as well.
            Err(_) => Ok(Some(self.full(digest, &first))),
        }
    }

    /// Copies a file into the store under its own digest, and says which one that is.
    ///
    /// # Errors
    /// It can not be read, or the store not be written.
    pub fn adopt(&self, file: &Path, name: &str) -> Result<(Digest, PathBuf)> {
        check_name(name)?;
        let copied = self.copy_in(file)?;
        Ok((copied.digest, self.insert(&copied.file, name, copied.digest)?))
    }

    /// Copies those files below `folder` into the store whose digest is one of `wanted`, whatever they are called, and
    /// says which ones they were. Every file is read once, until nothing is wanted any more; what is in the store
    /// already is not wanted. Links are not followed.
    ///
    /// # Errors
    /// The folder can not be read, or the store not be written. A single file that can not be read is passed over.
    pub fn adopt_dir(&self, folder: &Path, wanted: &[Digest]) -> Result<Vec<(Digest, PathBuf)>> {
        let mut wanted: Vec<Digest> = wanted.iter().copied().filter(|&digest| self.find(digest).is_none()).collect();
        let mut adopted = Vec::new();
        let from = Root::open(folder)?;
        for entry in Walk::new(&from)? {
            if wanted.is_empty() {
                break;
            }
            let Ok(entry) = entry else { continue };
            if entry.stat.kind != FileKind::File {
                continue;
            }
            let Some(digest) = from.open_file(&entry.path).ok().and_then(|mut file| hash(&mut file).ok()) else {
                continue;
            };
            if wanted.contains(&digest) {
                // Hashed once more on the way: it may change meanwhile.
                let copied = self.copy_in(&folder.join(&entry.path))?;
                if copied.digest == digest {
                    let name = String::from_utf8_lossy(entry.path.file_name()).into_owned();
                    adopted.push((digest, self.insert(&copied.file, &name, digest)?));
                    wanted.retain(|&other| other != digest);
                }
            }
        }
        Ok(adopted)
    }

    /// Copies a file to a temporary place in the store's tree.
    fn copy_in(&self, file: &Path) -> Result<Copied> {
        let read = |source| Error::Read { operation: "read", path: file.to_owned(), source };
        let mut from = open_regular(file).map_err(read)?;
        let temp = TempDir::new_in(&self.root, None)?;
        let mut to = temp.root().create_file(&path(b"file"), PRIVATE)?;
        let mut hasher = Hasher::new();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = read_chunk(&mut from, &mut chunk).map_err(read)?;
            if length == 0 {
                break;
            }
            hasher.update(&chunk[..length]);
            to.write_all(&chunk[..length])
                .map_err(|source| pkgfs::Error::new("write the file", temp.root().path().join("file"), source))?;
        }
        Ok(Copied { file: child(temp.path(), "file")?, digest: hasher.finish(), _temp: temp })
    }

    /// Moves a file that lies in the store's own tree to its place; its digest has been verified.
    pub(crate) fn insert(&self, from: &PkgPath, name: &str, digest: Digest) -> Result<PathBuf> {
        check_name(name)?;
        let temp = TempDir::new_in(&self.root, None)?;
        self.root.set_mode(from, FILE)?;
        self.root.rename(from, &child(temp.path(), name)?, Rename::NoReplace)?;
        self.root.set_mode(temp.path(), FOLDER)?;
        match temp.persist(&folder_of(digest), Rename::NoReplace) {
            Ok(_) => Ok(self.full(digest, name)),
            // Another process was faster; its file is as good.
            Err(error) if error.kind == ErrorKind::Exists => {
                Ok(self.remember(digest, name)?.unwrap_or_else(|| self.full(digest, name)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// An unfinished file for this digest, with what an earlier transfer left of it. Nobody else has it meanwhile.
    ///
    /// `waits` is called when another process has it at this moment.
    pub(crate) fn part(&self, digest: Digest, limit: u64, waits: impl FnOnce()) -> Result<Part<'_>> {
        self.root.create_dirs(&path(PARTS), Mode::from_raw(0o700))?;
        let lock = child(&path(PARTS), &format!("{digest}.lock"))?;
        let lock = lock_or_wait(&self.root, &lock, waits)?;
        Part::begin(self, child(&path(PARTS), &digest.to_string())?, limit, lock)
    }

    /// Removes what is left of transfers that broke off. Not while a fetch goes on.
    ///
    /// # Errors
    /// Something can not be removed.
    pub fn clear_parts(&self) -> Result<()> {
        Ok(self.root.remove_tree(&path(PARTS))?)
    }

    fn full(&self, digest: Digest, name: &str) -> PathBuf {
        self.root.path().join(folder_of(digest)).join(name)
    }
}

/// A file in a temporary folder of the store.
struct Copied {
    file: PkgPath,
    digest: Digest,
    _temp: TempDir,
}

/// Notes that this process uses the store; who is alone clears away what dead ones left.
fn claim(root: &Root) -> pkgfs::Result<Lock> {
    match root.lock(&path(LOCK), LockKind::Exclusive, Wait::No) {
        Ok(alone) => {
            tidy(root)?;
            drop(alone);
        }
        Err(error) if matches!(error.kind, ErrorKind::Locked { .. }) => {}
        Err(error) => return Err(error),
    }
    root.lock(&path(LOCK), LockKind::Shared, Wait::Yes)
}

/// Only with the store to oneself: temporaries of others look the same.
fn tidy(root: &Root) -> pkgfs::Result<()> {
    for name in root.read_dir(None)?.into_iter().filter(|name| name.starts_with(TEMPORARY)) {
        remove(root, name)?;
    }
    let Ok(parts) = root.sub(&path(PARTS)) else { return Ok(()) };
    for name in parts.read_dir(None)? {
        let is_needed = |digest| !matches!(root.stat(&folder_of(digest)), Ok(Some(_)));
        if !Digest::from_hex(&name).is_ok_and(is_needed) {
            remove(&parts, name)?;
        }
    }
    Ok(())
}

fn remove(root: &Root, name: Box<[u8]>) -> pkgfs::Result<()> {
    PkgPath::new(name).map_or(Ok(()), |path| root.remove_tree(&path))
}

pub(crate) fn lock_or_wait(root: &Root, path: &PkgPath, waits: impl FnOnce()) -> pkgfs::Result<Lock> {
    match root.lock(path, LockKind::Exclusive, Wait::No) {
        Err(error) if matches!(error.kind, ErrorKind::Locked { .. }) => {
            waits();
            root.lock(path, LockKind::Exclusive, Wait::Yes)
        }
        done => done,
    }
}

fn path(name: &[u8]) -> PkgPath {
    PkgPath::new(name).expect("the name is a constant or hex digits")
}

fn folder_of(digest: Digest) -> PkgPath {
    path(&digest.to_hex())
}

fn child(folder: &PkgPath, name: &str) -> Result<PkgPath> {
    folder.join(name.as_bytes()).map_err(|error| Error::Name { name: name.to_owned(), reason: error.reason })
}

/// A plain file name that can not be mistaken for a temporary.
fn check_name(name: &str) -> Result<()> {
    let bad = |reason| Err(Error::Name { name: name.to_owned(), reason });
    match PkgPath::new(name.as_bytes()) {
        Err(error) => bad(error.reason),
        Ok(path) if path.components().count() > 1 => bad("a plain file name is expected"),
        Ok(_) if name.as_bytes().starts_with(TEMPORARY) => bad("temporaries are called so"),
        Ok(_) => Ok(()),
    }
}

/// Opens a file that can be read to its end: not a pipe, which would block.
pub(crate) fn open_regular(path: &Path) -> std::io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    File::open(path)
}

pub(crate) fn hash(file: &mut impl Read) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match read_chunk(file, &mut chunk)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&chunk[..length]),
        }
    }
}

pub(crate) fn read_chunk(from: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match from.read(chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
