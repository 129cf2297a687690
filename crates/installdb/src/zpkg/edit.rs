use std::fs::File;
use std::io::{Read, Seek as _};
use std::ops::Deref;

use pkgformat::{ElfFacts, Entry, EntryKind, Manifest, PackageMeta, PackageRecord, Reader};
use pkgfs::{Durability, Root, TempFile};
use pkgtypes::{Digest, Mode, PackageId, PkgPath};
use rustix::fs::FlockOperation;

use super::connection::Guarded;
use super::content::{self, Storage};
use super::{Blob, LoosePath, Zpkg, ZpkgProblem, path, rows};
use crate::Error;
use crate::error::Result;
use crate::rows::delete;

/// A file of packages, contents and paths, in the making or being changed.
///
/// Everything is done to a copy that nobody else knows, in one transaction; [`ZpkgEdit::commit`] puts it in the file's
/// place. Dropped, or killed at whatever moment, it leaves the file as it was. One process at a time changes a file.
#[derive(Debug)]
#[must_use = "nothing is written until `commit`"]
pub struct ZpkgEdit {
    zpkg: Zpkg,
    temp: TempFile,
    root: Root,
    path: PkgPath,
    mode: Mode,
    /// The file that is changed, locked.
    _locked: Option<File>,
}

/// Up to how many bytes of content pages are small: a package of a few files would else be mostly empty pages.
const SMALL: u64 = 4 << 20;

impl ZpkgEdit {
    /// Makes a file without anything in it, in the place of what is there. `bytes` is how much content is to come, about.
    ///
    /// # Errors
    /// The disk fails.
    pub fn create(root: &Root, path: &PkgPath, bytes: u64) -> Result<Self> {
        let page_size = if bytes <= SMALL { 1024 } else { 4096 };
        Self::begin(root, path, Mode::from_raw(0o644), None, |temp| Guarded::create(temp, page_size))
    }

    /// Opens a file to be changed.
    ///
    /// # Errors
    /// As [`Zpkg::open`]; another process changes it.
    pub fn open(root: &Root, path: &PkgPath) -> Result<Self> {
        let (mut file, mode) = lock(root, path)?;
        let full = root.path().join(path);
        super::file::refuse_journals(&full).map_err(|problem| Error::Zpkg { path: full.clone(), problem })?;
        let mut source = file.try_clone().map_err(|error| pkgfs::Error::new("open the file", &full, error))?;
        file.rewind().map_err(|error| pkgfs::Error::new("read the file", &full, error))?;
        Self::begin(root, path, mode, Some(file), |mut temp| {
            std::io::copy(&mut source, &mut temp).map_err(ZpkgProblem::Input)?;
            let guarded = Guarded::change(temp)?;
            guarded.begin().map_err(|source| ZpkgProblem::sqlite("begin a transaction", source))?;
            Ok(guarded)
        })
    }

    fn begin(
        root: &Root,
        path: &PkgPath,
        mode: Mode,
        locked: Option<File>,
        fill: impl FnOnce(&File) -> Result<Guarded, ZpkgProblem>,
    ) -> Result<Self> {
        let file = root.path().join(path);
        let temp = TempFile::new_for(root, path, mode)?;
        let guarded = fill(temp.file()).map_err(|problem| Error::Zpkg { path: file.clone(), problem })?;
        let (root, path) = (root.try_clone()?, path.clone());
        Ok(Self { zpkg: Zpkg { guarded, file }, temp, root, path, mode, _locked: locked })
    }

    /// Puts what was made in the file's place, in one step.
    ///
    /// # Errors
    /// The disk fails; the file is as it was then.
    pub fn commit(self, durability: Durability) -> Result<()> {
        let Self { zpkg: Zpkg { guarded, file }, temp, root, path, mode, _locked } = self;
        let at = |problem| Error::Zpkg { path: file.clone(), problem };
        guarded.commit().map_err(at)?;
        let temp = match guarded.is_sparse().map_err(at)? {
            false => temp,
            true => {
                let dense = TempFile::new_for(&root, &path, mode)?;
                guarded.copy_to(dense.file()).map_err(at)?;
                dense
            }
        };
        guarded.close().map_err(at)?;
        Ok(temp.persist(durability)?)
    }

    /// Adds a package that has metadata and no path.
    ///
    /// # Errors
    /// Metadata that can not be written; the same package is there already.
    pub fn create_package(&mut self, meta: PackageMeta) -> Result<PackageId> {
        let added = PackageRecord::new(meta, Manifest::default()).map_err(ZpkgProblem::from);
        let added = added.and_then(|record| self.insert(None, &record));
        self.at(added)
    }

    /// Gives a package other metadata, and thereby another id.
    ///
    /// # Errors
    /// There is no such package; as [`ZpkgEdit::create_package`].
    pub fn set_meta(&mut self, package: &PackageId, meta: PackageMeta) -> Result<PackageId> {
        let changed = self.replace(package, |record| Ok((meta, record.into_parts().1.into_entries())));
        self.at(changed)
    }

    /// Adds a package with all its contents.
    ///
    /// # Errors
    /// The package is not what it must be; it is there already.
    pub fn add_package<R: Read>(&mut self, reader: Reader<R>) -> Result<PackageId> {
        self.at(self.try_add_package(reader))
    }

    fn try_add_package<R: Read>(&self, mut reader: Reader<R>) -> Result<PackageId, ZpkgProblem> {
        let record = reader.shared_package();
        if self.find_package(&record.id()).is_ok() {
            return Err(ZpkgProblem::PackageExists(record.id()));
        }
        while let Some(blob) = reader.next_blob()? {
            content::store(&self.guarded.conn, blob).map_err(|problem| match problem {
                ZpkgProblem::Input(error) => ZpkgProblem::Package(error.into()),
                problem => problem,
            })?;
        }
        reader.finish()?;
        self.insert(None, &record)
    }

    /// Adds a content, unless it is there already.
    ///
    /// # Errors
    /// The source fails.
    pub fn add_blob(&mut self, source: impl Read) -> Result<Blob> {
        let stored = content::store(&self.guarded.conn, source);
        let (digest, _) = self.at(stored)?;
        self.blob(&digest)
    }

    /// Adds a path that belongs to no package yet.
    ///
    /// # Errors
    /// There is such a path already; its content is no blob of the file.
    pub fn add_path(&mut self, loose: &LoosePath) -> Result<()> {
        if let Some(digest) = &loose.content {
            self.blob(digest)?;
        }
        self.at(path::insert(&self.guarded.conn, loose))
    }

    /// Makes paths that belong to no package paths of this one, which thereby gets another id.
    ///
    /// # Errors
    /// There is no such package or path; a path is not complete; the package has it already, or not the folder that it is
    /// in.
    pub fn associate(&mut self, package: &PackageId, paths: &[PkgPath]) -> Result<PackageId> {
        self.at(self.try_associate(package, paths))
    }

    fn try_associate(&self, package: &PackageId, paths: &[PkgPath]) -> Result<PackageId, ZpkgProblem> {
        let size = |digest: &Digest| Ok(content::find(&self.guarded, digest)?.blob.size);
        let mut new = Vec::new();
        for wanted in paths {
            new.push(path::find(&self.guarded, wanted)?.entry(size)?);
            path::delete(&self.guarded, wanted)?;
        }
        self.add_entries(package, new)
    }

    /// Adds paths to a package, which thereby gets another id. The contents of files must be blobs of the file.
    ///
    /// # Errors
    /// There is no such package or blob; the package has a path already, or not the folder that it is in.
    pub fn add_to_package(&mut self, package: &PackageId, entries: Vec<Entry>) -> Result<PackageId> {
        for entry in &entries {
            if let EntryKind::File { digest, .. } = &entry.kind {
                self.blob(digest)?;
            }
        }
        self.at(self.add_entries(package, entries))
    }

    fn add_entries(&self, package: &PackageId, new: Vec<Entry>) -> Result<PackageId, ZpkgProblem> {
        self.replace(package, |record| {
            if let Some(entry) = new.iter().find(|entry| record.manifest().find(&entry.path).is_some()) {
                return Err(ZpkgProblem::PathExists { path: entry.path.clone(), package: Some(*package) });
            }
            let (meta, manifest) = record.into_parts();
            let mut entries = manifest.into_entries();
            entries.extend(new);
            Ok((meta, entries))
        })
    }

    /// Makes a blob the content of a path that belongs to no package.
    ///
    /// # Errors
    /// There is no such path or blob.
    pub fn set_content(&mut self, wanted: &PkgPath, digest: &Digest) -> Result<()> {
        self.blob(digest)?;
        let set = path::find(&self.guarded, wanted).and_then(|loose| {
            if loose.kind != super::PathType::File {
                return Err(loose.incomplete("its type has no content"));
            }
            path::delete(&self.guarded, wanted)?;
            path::insert(&self.guarded.conn, &LoosePath { content: Some(*digest), ..loose })
        });
        self.at(set)
    }

    /// Makes a blob the content of a file of a package, which thereby gets another id. What was known of the old content
    /// as an ELF file is forgotten.
    ///
    /// # Errors
    /// There is no such package, path or blob; the path is no file.
    pub fn set_package_content(&mut self, package: &PackageId, path: &PkgPath, digest: &Digest) -> Result<PackageId> {
        let blob = self.blob(digest)?;
        let changed = self.change_file(package, path, |_, kind| match kind {
            EntryKind::File { mode, .. } => {
                Ok(EntryKind::File { mode, size: blob.size, digest: blob.digest, elf: None })
            }
            kind => Ok(kind),
        });
        self.at(changed)
    }

    /// Records what a file of a package says of itself as a program or library, and gives the package's new id and these
    /// facts; `None` where it is no such file.
    ///
    /// # Errors
    /// There is no such package or path; the path is no file; its content is damaged.
    pub fn record_elf(&mut self, package: &PackageId, path: &PkgPath) -> Result<(PackageId, Option<ElfFacts>)> {
        let mut found = None;
        let changed = self.change_file(package, path, |edit, kind| {
            let EntryKind::File { mode, size, digest, .. } = kind else { return Ok(kind) };
            found = edit.elf_facts(&digest)?;
            let elf = found.clone().and_then(ElfFacts::boxed);
            Ok(EntryKind::File { mode, size, digest, elf })
        });
        self.at(changed).map(|id| (id, found))
    }

    fn elf_facts(&self, digest: &Digest) -> Result<Option<ElfFacts>, ZpkgProblem> {
        let disk = |error: pkgfs::Error| ZpkgProblem::Output(error.source);
        let mut file = TempFile::new_for(&self.root, &self.path, Mode::from_raw(0o600)).map_err(disk)?;
        self.write_content(digest, &mut file).map_err(|error| match error {
            Error::Zpkg { problem, .. } => problem,
            error => ZpkgProblem::Output(std::io::Error::other(error)),
        })?;
        Ok(pkgtree::elf_facts(file.file()).map(|facts| *facts))
    }

    fn change_file(
        &self,
        package: &PackageId,
        path: &PkgPath,
        change: impl FnOnce(&Self, EntryKind) -> Result<EntryKind, ZpkgProblem>,
    ) -> Result<PackageId, ZpkgProblem> {
        self.replace(package, |record| {
            let missing = || ZpkgProblem::NoPath { path: path.clone(), package: Some(*package) };
            let (meta, manifest) = record.into_parts();
            let mut entries = manifest.into_entries();
            let entry = entries.iter_mut().find(|entry| entry.path == *path).ok_or_else(missing)?;
            if !matches!(entry.kind, EntryKind::File { .. }) {
                return Err(ZpkgProblem::Incomplete { path: path.clone(), reason: "its type has no content" });
            }
            entry.kind = change(self, entry.kind.clone())?;
            Ok((meta, entries))
        })
    }

    /// Compresses a blob, unless that would not make it smaller. `level` is one of zstd's, 1 to 22.
    ///
    /// # Errors
    /// There is no such blob; it is damaged; there is no such level.
    pub fn compress(&mut self, digest: &Digest, level: u32) -> Result<Blob> {
        self.store_as(digest, Storage::Zstd { level })
    }

    /// Stores a blob as it is.
    ///
    /// # Errors
    /// There is no such blob; it is damaged.
    pub fn uncompress(&mut self, digest: &Digest) -> Result<Blob> {
        self.store_as(digest, Storage::Plain)
    }

    fn store_as(&self, digest: &Digest, storage: Storage) -> Result<Blob> {
        self.at(content::restore(&self.guarded, digest, storage))?;
        self.blob(digest)
    }

    /// Writes another package in a package's rows.
    fn replace(
        &self,
        package: &PackageId,
        change: impl FnOnce(PackageRecord) -> Result<(PackageMeta, Vec<Entry>), ZpkgProblem>,
    ) -> Result<PackageId, ZpkgProblem> {
        let (row, old) = self.find_package(package)?;
        let (meta, entries) = change(old.clone())?;
        let new = PackageRecord::new(meta, Manifest::new(entries)?)?;
        if new.id() == *package {
            return Ok(*package);
        }
        delete(&self.guarded.conn, row, &old).map_err(|source| ZpkgProblem::sqlite("remove a package", source))?;
        self.insert(Some(row), &new)
    }

    fn insert(&self, row: Option<i64>, record: &PackageRecord) -> Result<PackageId, ZpkgProblem> {
        match rows::insert(&self.guarded.conn, row, record) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(ZpkgProblem::PackageExists(record.id()))
            }
            inserted => inserted.map_err(|source| ZpkgProblem::sqlite("write a package", source)),
        }?;
        Ok(record.id())
    }
}

impl Deref for ZpkgEdit {
    type Target = Zpkg;

    fn deref(&self) -> &Zpkg {
        &self.zpkg
    }
}

/// Opens the file and keeps other processes that would change it away, and says its mode.
fn lock(root: &Root, path: &PkgPath) -> Result<(File, Mode)> {
    let failed = |operation, errno: rustix::io::Errno| {
        Error::Disk(pkgfs::Error::new(operation, root.path().join(path), errno.into()))
    };
    loop {
        let (file, stat) = root.at(path)?.open_with_stat()?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Zpkg { path: root.path().join(path), problem: ZpkgProblem::Busy });
            }
            Err(errno) => return Err(failed("lock", errno)),
        }
        // Whoever had the lock may have put another file in this one's place.
        let now = root.stat(path)?;
        if now.is_some_and(|now| (now.dev, now.ino) == (stat.dev, stat.ino)) {
            return Ok((file, stat.mode));
        }
    }
}
