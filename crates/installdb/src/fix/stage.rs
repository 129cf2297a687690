//! Making what a fix puts in its place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use pkgformat::{Entry, EntryKind, Reader};
use pkgfs::{Batch, Root};
use pkgtypes::{Digest, Hasher, PkgPath};

use super::{Known, Origin, Piece};
use crate::error::Result;
use crate::layout::Layout;
use crate::request::Source;
use crate::rights::Rights;
use crate::stage::{PRIVATE, Target, fill, give, initial, make_node, write_stream};
use crate::tree::EntryRef;
use crate::{Error, Event, Progress, Unset};

/// All that staging needs to know.
pub(super) struct Stage<'a> {
    pub(super) root: &'a Root,
    pub(super) rights: &'a Rights,
    pub(super) records: &'a [Known],
    pub(super) layout: &'a Layout,
    pub(super) txn: i64,
    pub(super) origins: &'a HashMap<Digest, Origin>,
}

/// An entry, where it is staged, and what could not be given to it.
struct Staged<'a> {
    entry: &'a Entry,
    path: PkgPath,
    unset: Unset,
}

impl<'a> Stage<'a> {
    pub(super) fn run(
        &self,
        pieces: &[Piece],
        offered: &mut [Reader<Source<'_>>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<(PkgPath, Unset)>> {
        let mut staged: Vec<Staged<'_>> = pieces.iter().map(|piece| self.staged(piece)).collect();
        self.make_folders_and_nodes(&mut staged)?;
        self.make_files(&mut staged, offered, progress)?;
        self.make_hard_links(pieces, &staged)?;
        self.finish_folders(&mut staged)?;
        let named = |at: EntryRef| self.records[at.package].record.manifest().entries()[at.entry].path.clone();
        Ok(pieces.iter().zip(staged).map(|(piece, staged)| (named(piece.at), staged.unset)).collect())
    }

    fn entry(&self, at: EntryRef) -> &'a Entry {
        self.records[at.package].entry(at.entry)
    }

    fn staged(&self, piece: &Piece) -> Staged<'a> {
        let entry = self.entry(piece.at);
        let path = self.layout.staged(piece.staging, &entry.path, self.txn);
        let path = path.expect("a path that was installed is short enough to be staged");
        Staged { entry, path, unset: initial(entry, self.rights) }
    }

    fn make_folders_and_nodes(&self, staged: &mut [Staged<'_>]) -> Result<()> {
        let mut folders = Batch::new(self.root);
        for Staged { entry, path, unset } in staged {
            let place = folders.at(path)?;
            if matches!(entry.kind, EntryKind::Dir { .. }) {
                place.create_dir(PRIVATE)?;
            } else if let Some(made) = make_node(&place, entry) {
                made?;
                *unset = *unset | give(self.rights, &place, entry)?;
            }
        }
        Ok(())
    }

    fn make_files(
        &self,
        staged: &mut [Staged<'_>],
        offered: &mut [Reader<Source<'_>>],
        progress: &mut dyn Progress,
    ) -> Result<()> {
        let mut targets: HashMap<Digest, Vec<Target<'_>>> = HashMap::new();
        for (node, Staged { entry, path, .. }) in staged.iter().enumerate() {
            if let EntryKind::File { digest, .. } = &entry.kind {
                let target = Target { path: path.clone(), node, entry };
                targets.entry(*digest).or_default().push(target);
            }
        }
        let mut folders = Batch::new(self.root);
        let mut missing = Vec::new();
        for (index, reader) in offered.iter_mut().enumerate() {
            let package = reader.package().meta().name.clone();
            let malformed = |source| Error::Package { package: package.clone(), source };
            while let Some(blob) = reader.next_blob().map_err(malformed)? {
                let digest = blob.digest();
                if self.origins.get(&digest) != Some(&Origin::Offered(index)) {
                    continue;
                }
                if let Some(targets) = targets.remove(&digest) {
                    let mut blob = blob;
                    let next = |piece: &mut _| fill(&mut blob, piece).map_err(|error| malformed(error.into()));
                    missing.extend(write_stream(&mut folders, self.rights, &targets, next)?);
                    stopped(progress, &package)?;
                }
            }
        }
        for (digest, targets) in targets {
            let Some(Origin::File(path)) = self.origins.get(&digest) else { continue };
            let mut source = Checked { file: self.root.open_file(path)?, hasher: Some(Hasher::new()), digest };
            let failed = |error| pkgfs::Error::new("read", self.root.path().join(path), error);
            let next = |piece: &mut _| fill(&mut source, piece).map_err(|error| Error::Disk(failed(error)));
            missing.extend(write_stream(&mut folders, self.rights, &targets, next)?);
        }
        for (node, more) in missing {
            staged[node].unset = staged[node].unset | more;
        }
        Ok(())
    }

    /// To a file that is made here, or to one that stands.
    fn make_hard_links(&self, pieces: &[Piece], staged: &[Staged<'_>]) -> Result<()> {
        for Staged { entry, path, .. } in staged {
            let EntryKind::Hardlink { target } = &entry.kind else { continue };
            let made = pieces.binary_search_by(|piece| self.entry(piece.at).path.cmp(target));
            let existing = made.map_or(target, |index| &staged[index].path);
            self.root.hard_link(existing, path)?;
        }
        Ok(())
    }

    /// From the inside out, since a folder's time changes with what is put into it.
    fn finish_folders(&self, staged: &mut [Staged<'_>]) -> Result<()> {
        let mut folders = Batch::new(self.root);
        for Staged { entry, path, unset } in staged.iter_mut().rev() {
            if matches!(entry.kind, EntryKind::Dir { .. }) {
                *unset = *unset | give(self.rights, &folders.at(path)?, entry)?;
            }
        }
        Ok(())
    }
}

fn stopped(progress: &mut dyn Progress, package: &pkgtypes::PackageName) -> Result<()> {
    match progress.report(Event::Verified { package }) {
        std::ops::ControlFlow::Continue(()) => Ok(()),
        std::ops::ControlFlow::Break(()) => Err(Error::Stopped),
    }
}

/// A file that must have this content to its end: it may have changed since it was looked at.
struct Checked {
    file: File,
    hasher: Option<Hasher>,
    digest: Digest,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        if length > 0 {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[..length]);
            }
        } else if let Some(hasher) = self.hasher.take()
            && !buffer.is_empty()
            && hasher.finish() != self.digest
        {
            return Err(io::Error::other("the file that has the same content was changed meanwhile"));
        }
        Ok(length)
    }
}
