use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use pkgformat::{Limits, PackageRecord, Summary, Writer};
use pkgfs::{Durability, Root, TempFile};
use pkgtypes::{Digest, Hasher, Mode, PackageId, PkgPath};
use rusqlite::OptionalExtension as _;

use super::connection::Guarded;
use super::content::{self, own};
use super::{Blob, BlobContent, LoosePath, ZpkgContents, ZpkgProblem, check, path};
use crate::Error;
use crate::column::digest_column;
use crate::error::Result;

/// A file of packages, contents and paths, to be read. It is taken to be hostile: what is answered was checked, and what
/// was not checked is not answered.
///
/// Whoever changes such a file through [`ZpkgEdit`](super::ZpkgEdit) puts another one in its place, so what is read here
/// does not change meanwhile.
#[derive(Debug)]
pub struct Zpkg {
    pub(super) guarded: Guarded,
    pub(super) file: PathBuf,
}

impl Zpkg {
    /// Opens a file.
    ///
    /// # Errors
    /// It can not be opened; it is no such file, or one of a later version; another program was interrupted while it
    /// wrote it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |error| Error::Disk(pkgfs::Error::new("open the file", path, error));
        let file = File::open(path).map_err(failed)?;
        let real = path.canonicalize().map_err(failed)?;
        let at = |problem| Error::Zpkg { path: path.to_owned(), problem };
        refuse_journals(&real).map_err(at)?;
        let guarded = Guarded::read(&file).map_err(at)?;
        Ok(Self { guarded, file: path.to_owned() })
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// As [`Zpkg::open`]; more than 2 GiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let file = PathBuf::new();
        match Guarded::bytes(bytes) {
            Ok(guarded) => Ok(Self { guarded, file }),
            Err(problem) => Err(Error::Zpkg { path: file, problem }),
        }
    }

    /// The packages' ids, in the order in which they came.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn package_ids(&self) -> Result<Vec<PackageId>> {
        let ids = self.guarded.ask("list the packages", |conn| {
            let mut statement = conn.prepare("SELECT package_id FROM packages ORDER BY id")?;
            statement.query_map([], |row| digest_column(row, 0).map(PackageId::new))?.collect()
        });
        self.at(ids)
    }

    /// The record of a package.
    ///
    /// # Errors
    /// There is no such package; the file is damaged.
    pub fn package(&self, id: &PackageId) -> Result<PackageRecord> {
        self.at(self.find_package(id)).map(|(_, record)| record)
    }

    pub(super) fn find_package(&self, id: &PackageId) -> Result<(i64, PackageRecord), ZpkgProblem> {
        let found = self.guarded.ask("look up a package", |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT packages.id, record FROM packages JOIN records ON records.package = packages.id
                 WHERE package_id = ?",
            )?;
            let read = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, PackageRecord::decode(row.get_ref(1)?.as_blob()?, &Limits::default())))
            };
            statement.query_row([id.digest().as_bytes()], read).optional()
        })?;
        let (row, record) = found.ok_or(ZpkgProblem::NoPackage(*id))?;
        let record = record?;
        match record.id() == *id {
            true => Ok((row, record)),
            false => Err(ZpkgProblem::Damaged(format!("what stands as package {id} is package {}", record.id()))),
        }
    }

    /// All contents, sorted by digest.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn blobs(&self) -> Result<Vec<Blob>> {
        let blobs = content::list(&self.guarded);
        self.at(blobs).map(|blobs| blobs.into_iter().map(|stored| stored.blob).collect())
    }

    /// What is known of a blob.
    ///
    /// # Errors
    /// There is no such blob; the file is damaged.
    pub fn blob(&self, digest: &Digest) -> Result<Blob> {
        self.at(content::find(&self.guarded, digest)).map(|stored| stored.blob)
    }

    /// The content of a blob.
    ///
    /// # Errors
    /// As [`Zpkg::blob`].
    pub fn content(&self, digest: &Digest) -> Result<BlobContent<'_>> {
        self.at(self.find_content(digest))
    }

    fn find_content(&self, digest: &Digest) -> Result<BlobContent<'_>, ZpkgProblem> {
        BlobContent::new(&self.guarded, &content::find(&self.guarded, digest)?)
    }

    /// The paths that belong to no package yet, sorted bytewise.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn loose_paths(&self) -> Result<Vec<LoosePath>> {
        self.at(path::list(&self.guarded))
    }

    /// Writes the content of a blob to a file, which appears when it is complete and right.
    ///
    /// # Errors
    /// There is no such blob; it is damaged; the disk fails.
    pub fn extract(&self, digest: &Digest, root: &Root, path: &PkgPath, mode: Mode) -> Result<()> {
        let mut file = TempFile::new_for(root, path, mode)?;
        self.write_content(digest, &mut file)?;
        Ok(file.persist(Durability::Atomic)?)
    }

    /// Writes the content of a blob. What was written is right only when this says so.
    ///
    /// # Errors
    /// There is no such blob; it is damaged; the writer fails.
    pub fn write_content(&self, digest: &Digest, writer: &mut impl Write) -> Result<()> {
        let written = self.find_content(digest).and_then(|mut content| {
            let failed = |source| ZpkgProblem::Content { digest: *digest, source };
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = content.read(&mut buffer).map_err(|error| own(error, failed))?;
                if count == 0 {
                    return writer.flush().map_err(ZpkgProblem::Output);
                }
                writer.write_all(&buffer[..count]).map_err(ZpkgProblem::Output)?;
            }
        });
        self.at(written)
    }

    /// Whether a blob is in the file and `other` has the same content.
    ///
    /// # Errors
    /// There is no such blob; `other` can not be read.
    pub fn compare(&self, digest: &Digest, mut other: impl Read) -> Result<bool> {
        let stored = self.at(content::find(&self.guarded, digest))?;
        let (mut hasher, mut size) = (Hasher::new(), 0u64);
        let mut buffer = vec![0; 64 << 10];
        loop {
            match other.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    size = size.saturating_add(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.at(Err(ZpkgProblem::Input(error))),
            }
        }
        Ok(size == stored.blob.size && hasher.finish() == *digest)
    }

    /// Writes a package as a file of records: byte for byte the one that it was made of.
    ///
    /// # Errors
    /// There is no such package; a content is missing or damaged; the writer fails.
    pub fn write_package<W: Write>(&self, id: &PackageId, writer: W) -> Result<(W, Summary)> {
        self.at(self.try_write_package(id, writer))
    }

    fn try_write_package<W: Write>(&self, id: &PackageId, writer: W) -> Result<(W, Summary), ZpkgProblem> {
        let (_, record) = self.find_package(id)?;
        let mut package = Writer::new(writer, &record)?;
        while let Some(due) = package.due() {
            let content = self.find_content(&due.digest)?;
            package.blob(content.size(), content).map_err(|error| match error {
                pkgformat::Error::BlobSource { source, .. } => {
                    own(source, |source| ZpkgProblem::Content { digest: due.digest, source })
                }
                error => error.into(),
            })?;
        }
        Ok(package.finish()?)
    }

    /// Checks everything: every content against its digest, every package against its id, the packages' contents, and all
    /// other rows against what the packages say.
    ///
    /// # Errors
    /// What is found first.
    pub fn check(&self) -> Result<ZpkgContents> {
        self.at(check::check(self))
    }

    /// Says which file it is about.
    pub(super) fn at<T>(&self, answer: Result<T, ZpkgProblem>) -> Result<T> {
        answer.map_err(|problem| Error::Zpkg { path: self.file.clone(), problem })
    }
}

/// sqlite would follow a journal beside the file, and a forged one leads wherever its maker likes.
pub(super) fn refuse_journals(file: &Path) -> Result<(), ZpkgProblem> {
    for ending in ["-journal", "-wal"] {
        let mut beside = file.as_os_str().to_owned();
        beside.push(ending);
        if std::fs::symlink_metadata(&beside).is_ok_and(|data| data.len() > 0) {
            return Err(ZpkgProblem::Unsettled(Path::new(&beside).display().to_string()));
        }
    }
    Ok(())
}
