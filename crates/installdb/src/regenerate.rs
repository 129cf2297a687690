//! An installed package as a file again.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write};

use pkgformat::{EntryKind, PackageRecord, Writer};
use pkgtypes::{Digest, PackageName, PkgPath};
use rusqlite::OptionalExtension as _;
use trust::SigArchive;

use crate::content::{content, digest_file};
use crate::error::{DbResult as _, Result};
use crate::links::Links;
use crate::{Aspect, Error, Installed, Progress, VerifyOptions, kept};

impl Installed {
    /// Writes the package of this name as it was before it was installed, byte for byte: its record and scripts stand in
    /// the database, its contents are those of its files, or of files of other packages that are the same.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; [`Error::Changed`], before anything is written; [`Error::Write`]; [`Error::Stopped`].
    pub fn regenerate<W: Write>(
        &self,
        name: &PackageName,
        out: W,
        progress: &mut dyn Progress,
    ) -> Result<(W, PackageRecord)> {
        let row = self.row_of(name)?.ok_or_else(|| Error::NotInstalled { name: name.clone() })?;
        let record = self.record_of(row)?;
        let files = self.whole_files(&record, progress)?;
        let failed = |source| Error::Write { package: name.clone(), source };
        let mut writer = Writer::new(out, &record).map_err(failed)?;
        while let Some(due) = writer.due() {
            match files.get(&due.digest) {
                Some(path) => {
                    let file = self.root.open_file(path)?;
                    let size = pkgfs::fd::stat(&file).map_err(|error| self.unread(path, error))?.size;
                    writer.blob(size, file)
                }
                None => {
                    let script = self.script_content(row, &due.digest)?;
                    writer.blob(script.len() as u64, &script[..])
                }
            }
            .map_err(failed)?;
        }
        let (out, _) = writer.finish().map_err(failed)?;
        Ok((out, record))
    }

    /// The signatures on which the package of this name was accepted; an empty archive where the user accepted it himself.
    ///
    /// # Errors
    /// [`Error::NotInstalled`]; the database can not be read.
    pub fn signatures(&self, name: &PackageName) -> Result<SigArchive> {
        let row = self.row_of(name)?.ok_or_else(|| Error::NotInstalled { name: name.clone() })?;
        let read = || -> rusqlite::Result<Option<Option<Vec<u8>>>> {
            let mut statement = self.conn.prepare_cached(
                "SELECT signatures FROM acceptances JOIN packages USING (package_id) WHERE packages.id = ?",
            )?;
            statement.query_row([row], |row| row.get(0)).optional()
        };
        let Some(bytes) = read().during("read the signatures", &self.conn)?.flatten() else {
            return Ok(SigArchive::new());
        };
        let archive = SigArchive::read(&bytes[..], &format!("signatures of `{name}`"));
        archive.map_err(|error| Error::damaged(&self.conn, error))
    }

    /// A file with each of the package's contents.
    fn whole_files(&self, record: &PackageRecord, progress: &mut dyn Progress) -> Result<HashMap<Digest, PkgPath>> {
        let name = &record.meta().name;
        let differences = self.verify_with(std::slice::from_ref(name), VerifyOptions::default(), progress)?;
        let broken = differences.iter().filter(|difference| !difference.aspects.iter().all(Aspect::is_attribute));
        let broken: HashSet<&PkgPath> = broken.map(|difference| &difference.path).collect();
        let contents = || record.manifest().entries().iter().filter_map(|entry| Some((content(entry)?, &entry.path)));
        let whole = contents().filter(|(_, path)| !broken.contains(path));
        let mut links = Links::new(self);
        let whole = whole.map(|(digest, path)| Ok((digest, links.path(path)?)));
        let mut files: HashMap<Digest, PkgPath> = whole.collect::<Result<_>>()?;
        let scripts: HashSet<Digest> = record.meta().scripts.iter().map(|(_, digest)| digest).collect();
        let is_missing = |digest: &Digest| !files.contains_key(digest) && !scripts.contains(digest);
        let missing: HashSet<Digest> = contents().map(|(digest, _)| digest).filter(is_missing).collect();
        files.extend(self.files_with(&missing)?);
        let paths = contents().filter(|(digest, _)| !files.contains_key(digest) && !scripts.contains(digest));
        let paths: Vec<PkgPath> = paths.map(|(_, path)| path.clone()).collect();
        if paths.is_empty() { Ok(files) } else { Err(Error::Changed { package: name.clone(), paths }) }
    }

    /// A file with this content, if one is found among kept contents and the installed files of whichever package. It may
    /// be changed while it is read.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn find_content(&self, digest: &Digest) -> Result<Option<File>> {
        match self.files_with(&HashSet::from([*digest]))?.remove(digest) {
            Some(path) => Ok(Some(self.root.open_file(&path)?)),
            None => Ok(None),
        }
    }

    /// Files that have these contents, those of them that are found: kept ones, and installed ones of whichever package.
    pub(crate) fn files_with(&self, digests: &HashSet<Digest>) -> Result<HashMap<Digest, PkgPath>> {
        let mut found = HashMap::new();
        if digests.is_empty() {
            return Ok(found);
        }
        for digest in digests {
            if let Some(path) = kept::find(self, *digest)?.filter(|path| self.has_content(path, digest)) {
                found.insert(*digest, path);
            }
        }
        let mut links = Links::new(self);
        for row in self.rows()? {
            let record = self.record_of(row)?;
            let standing = links.standing(&record)?;
            for (index, entry) in standing.entries(&record).iter().enumerate() {
                // A further name of a file may have kept what the first one lost.
                let content = match &entry.kind {
                    EntryKind::Hardlink { .. } => content_of_link(&record, index),
                    _ => content(entry),
                };
                let Some(digest) = content.filter(|digest| digests.contains(digest)) else { continue };
                if !found.contains_key(&digest) && self.has_content(&entry.path, &digest) {
                    found.insert(digest, entry.path.clone());
                }
            }
        }
        Ok(found)
    }

    /// What can not be read has it not.
    fn has_content(&self, path: &PkgPath, digest: &Digest) -> bool {
        self.root.open_file(path).is_ok_and(|file| digest_file(file).is_ok_and(|found| found == *digest))
    }

    fn script_content(&self, row: i64, digest: &Digest) -> Result<Vec<u8>> {
        let read = || {
            let mut statement =
                self.conn.prepare_cached("SELECT content FROM scripts WHERE package = ? AND hash = ? LIMIT 1")?;
            statement.query_row((row, digest.as_bytes()), |row| row.get(0)).optional()
        };
        let content = read().during("read a script", &self.conn)?;
        content.ok_or_else(|| Error::damaged(&self.conn, "a package's script is missing"))
    }

    fn unread(&self, path: &PkgPath, error: io::Error) -> Error {
        pkgfs::Error::new("read the file", self.root.path().join(path), error).into()
    }
}

/// The content of the file that an entry is a further name of.
fn content_of_link(record: &PackageRecord, entry: usize) -> Option<Digest> {
    match &record.manifest().entries()[entry].kind {
        EntryKind::Hardlink { target } => record.manifest().find(target).and_then(content),
        _ => None,
    }
}
