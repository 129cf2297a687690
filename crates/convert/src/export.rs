//! Packages of ours become others.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};

use archive::{Entry as ForeignEntry, EntryKind as ForeignKind, TarWriter};
use pkgformat::{Entry, EntryKind, PackageRecord, Principal, Reader};
use pkgtypes::{Digest, Mode};

use crate::report::{LossKind, Report};
use crate::spool::Spool;
use crate::{Error, Result};

/// The number of an owner who has a name: nobody's, so that where the name is unknown nobody gets the file, and no
/// setid bit becomes root's.
const NOBODY: u64 = 65534;

/// Writes the files of a package as a tar archive in the pax format, and gives the writer back. `spool` is an empty file
/// for contents that are used more than once. Equal packages give equal bytes.
///
/// # Errors
/// The package is damaged; the writer or the scratch file fails.
pub fn to_tar<R: Read, W: Write>(reader: Reader<R>, spool: File, output: W) -> Result<(W, Report)> {
    let mut report = Report::default();
    let record = reader.package().clone();
    let why = "a tar archive has files and nothing else";
    report.add(LossKind::Field, "metadata", why);
    for (kind, _) in record.meta().scripts.iter() {
        report.add(LossKind::Script, kind.to_string(), why);
    }
    let mut writer = TarWriter::new(output);
    files(reader, spool, &mut report, |entry, data| Ok(writer.append(entry, data)?))?;
    report.dedup();
    Ok((writer.finish()?, report))
}

/// Hands out every path that an archive can have, files with their contents, in manifest order.
pub(crate) fn files<R: Read>(
    mut reader: Reader<R>,
    spool: File,
    report: &mut Report,
    mut each: impl FnMut(&ForeignEntry, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let record = reader.package().clone();
    let mut contents = Contents::of(&record, Spool::new(spool));
    contents.take_scripts(&mut reader, &record)?;
    for entry in record.manifest().entries() {
        let Some(foreign) = foreign(entry, report) else { continue };
        let EntryKind::File { digest, size, .. } = &entry.kind else {
            each(&foreign, &mut io::empty())?;
            continue;
        };
        contents.hand_out(&mut reader, digest, *size, |data| each(&foreign, data))?;
    }
    reader.finish()?;
    Ok(())
}

/// Contents stand in a package at their first use, and an archive needs them at every one.
struct Contents {
    spool: Spool,
    /// How often each content is still to be used.
    uses: HashMap<Digest, u64>,
    stored: HashSet<Digest>,
}

impl Contents {
    fn of(record: &PackageRecord, spool: Spool) -> Self {
        let mut uses = HashMap::new();
        for entry in record.manifest().entries() {
            if let EntryKind::File { digest, .. } = &entry.kind {
                *uses.entry(*digest).or_default() += 1;
            }
        }
        Self { spool, uses, stored: HashSet::new() }
    }

    /// Scripts come first; one that is a file too is needed later.
    fn take_scripts<R: Read>(&mut self, reader: &mut Reader<R>, record: &PackageRecord) -> Result<()> {
        let scripts: HashSet<Digest> = record.meta().scripts.iter().map(|(_, digest)| digest).collect();
        for _ in 0..scripts.len() {
            let Some(mut blob) = reader.next_blob()? else { return Ok(()) };
            let digest = blob.digest();
            if self.uses.contains_key(&digest) {
                self.spool.store(&mut blob)?;
                self.stored.insert(digest);
            }
        }
        Ok(())
    }

    fn hand_out<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        digest: &Digest,
        size: u64,
        each: impl FnOnce(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let left = self.uses.get_mut(digest).map_or(0, |left| {
            *left = left.saturating_sub(1);
            *left
        });
        if !self.stored.contains(digest) {
            let missing = || Error::Spool(io::Error::other(format!("the content {digest} is not there")));
            let mut blob = reader.next_blob()?.filter(|blob| blob.digest() == *digest && blob.size() == size);
            let blob = blob.as_mut().ok_or_else(missing)?;
            if left == 0 {
                return each(blob);
            }
            self.spool.store(blob)?;
            self.stored.insert(*digest);
        }
        match self.spool.content(digest) {
            Some((_, mut content)) => each(&mut content),
            None => Err(Error::Spool(io::Error::other(format!("the content {digest} is not there")))),
        }
    }
}

/// An entry as an archive has it; `None` for what none has.
fn foreign(entry: &Entry, report: &mut Report) -> Option<ForeignEntry> {
    let kind = match &entry.kind {
        EntryKind::File { size, .. } => ForeignKind::File { size: *size },
        EntryKind::Dir { .. } => ForeignKind::Dir,
        EntryKind::Symlink { target } => ForeignKind::Symlink { target: target.clone() },
        EntryKind::Hardlink { target } => ForeignKind::Hardlink { target: target.clone() },
        EntryKind::Fifo { .. } => ForeignKind::Fifo,
        EntryKind::Char { major, minor, .. } => ForeignKind::Char { device: (*major, *minor) },
        EntryKind::Block { major, minor, .. } => ForeignKind::Block { device: (*major, *minor) },
        EntryKind::Socket { .. } | EntryKind::Ghost => {
            report.add(LossKind::File, entry.path.to_string(), format!("no archive has a {}", entry.kind.name()));
            return None;
        }
    };
    let (user, uid) = owner(&entry.owner);
    let (group, gid) = owner(&entry.group);
    Some(ForeignEntry {
        path: entry.path.clone(),
        mode: entry.kind.mode().unwrap_or(Mode::from_raw(0o777)),
        kind,
        mtime: entry.mtime,
        uid,
        gid,
        user,
        group,
        xattrs: entry.xattrs.iter().map(|xattr| (xattr.name.clone(), xattr.value.clone())).collect(),
    })
}

fn owner(principal: &Principal) -> (Option<String>, u64) {
    match principal.id() {
        Some(id) => (None, id.into()),
        None if principal.is_root() => (Some("root".to_owned()), 0),
        None => (Some(principal.as_str().to_owned()), NOBODY),
    }
}
