//! Writing everything new beside its target.

use std::collections::HashSet;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use pkgformat::{Entry, EntryKind};
use pkgfs::{Batch, FileKind, Place, Root, fd};
use pkgtypes::{Mode, PkgPath, Timestamp};
use rustix::io::Errno;

use super::flusher::{FlushMeter, Flusher};
use super::package_reader::{self, PackageReader, Targets};
use super::relay::Relay;
use super::writer::{self, Target, Writer, given};
use crate::accounts::account_file::Attributes;
use crate::arrivals::Arrivals;
use crate::brought::{Aside, Findings};
use crate::displaced;
use crate::error::{DbResult as _, Result};
use crate::layout::{Fate, Layout, MadeContent, What};
use crate::request::Content;
use crate::rights::{Grant, Rights, plain};
use crate::step::stage_name;
use crate::tree::{Node, Packages};
use crate::unset::Missing;
use crate::work::Work;
use crate::{Error, Event, InstallDb, Progress, Unset, commit, threads};

/// Readings that may wait to be told.
const TOLD: usize = 256;

/// Stages everything: what is saved, folders, links and devices, files, and at last what needs these to stand. What folders get
/// last is left to [`Rest`].
pub(crate) fn fill(
    db: &InstallDb,
    txn: i64,
    work: &mut Work<'_>,
    layout: &Layout,
    rights: Rights,
    progress: &mut dyn Progress,
) -> Result<(Findings, Rest)> {
    let asks_nobody = work.asks_nobody();
    let Work { incoming, contents, outgoing, tree, time, .. } = work;
    let packages = Packages { incoming, outgoing };
    let paths = staged_paths(packages, &tree.nodes, layout, txn);
    let unset: Vec<Unset> = tree.nodes.iter().map(|node| initial(packages.entry(node), &rights)).collect();
    let shape = Shape { root: db.root(), packages, nodes: &tree.nodes, layout, rights: &rights, txn, paths: &paths };
    let unkept = layout.keeping.stage(db.root(), &db.home.kept(), txn)?;
    shape.save_changed()?;
    let begin = || {
        commit::begin(&db.conn)?;
        Arrivals::new(&db.conn, incoming, &tree.nodes, &unset, txn, *time)
    };
    let write = |begun: &mut Option<Arrivals>| {
        let written = begun.as_mut().map_or(Ok(false), |arrivals| arrivals.write_one(&db.conn, incoming));
        written.during("write the packages", &db.conn)
    };
    let (targets, mut begun) = std::thread::scope(|scope| {
        let folders = threads::spawn(scope, || shape.make_folders())?;
        let targets = shape.targets();
        let mut begun = asks_nobody.then(begin).transpose().during("write the packages", &db.conn)?;
        while !folders.is_finished() && write(&mut begun)? {}
        folders.join().expect("a thread that makes folders does not panic")?;
        Ok::<_, Error>((targets, begun))
    })?;
    shape.make_others(*time)?;
    let meter = Meter::new(packages, progress);
    let (flusher, flushed) = Flusher::new(db.root(), meter.total)?;
    let sources = Sources { contents: std::mem::take(contents), targets };
    let (aside, missing) = shape.make_files(sources, flushed, meter, || write(&mut begun).map(drop))?;
    shape.make_hard_links()?;
    Ok((Findings { unset, missing, begun, aside, unkept }, Rest { paths, rights, flusher }))
}

/// What is left to do when all files stand, which nothing but the decision waits for.
#[derive(Debug)]
pub(crate) struct Rest {
    paths: Vec<Option<PkgPath>>,
    rights: Rights,
    flusher: Flusher,
}

impl Rest {
    /// Gives the folders what they get at last; what could not be given to them.
    pub(crate) fn finish(self, root: &Root, packages: Packages<'_>, nodes: &[Node]) -> Result<Vec<Missing>> {
        let (mut folders, mut missing) = (Batch::new(root), Vec::new());
        // From the inside out, since nobody but root comes into each of them then.
        for (index, (node, path)) in nodes.iter().zip(&self.paths).enumerate().rev() {
            let (entry, Some(path)) = (packages.entry(node), path) else { continue };
            if matches!(entry.kind, EntryKind::Dir { .. }) {
                missing.push((index, give(&self.rights, &folders.at(path)?, entry)?));
            }
        }
        missing.retain(|(_, unset)| *unset != Unset::NOTHING);
        self.flusher.finish()?;
        Ok(missing)
    }
}

/// What this user can not give, as far as it is known without trying.
pub(crate) fn initial(entry: &Entry, rights: &Rights) -> Unset {
    match entry.kind {
        EntryKind::Char { .. } | EntryKind::Block { .. } if !rights.is_root() => Unset::DEVICE | Unset::OWNER,
        EntryKind::Ghost | EntryKind::Hardlink { .. } => Unset::NOTHING,
        _ => rights.grant(entry).unset,
    }
}

/// Where each node is staged; `None` for those that are not.
fn staged_paths(packages: Packages<'_>, nodes: &[Node], layout: &Layout, txn: i64) -> Vec<Option<PkgPath>> {
    let staged = |(node, fate): (&Node, &Fate)| match fate {
        Fate::Staged(index) => Some(staged_path(layout, *index, &packages.entry(node).path, txn)),
        Fate::Stays | Fate::Absent => None,
    };
    nodes.iter().zip(&layout.fates).map(staged).collect()
}

fn staged_path(layout: &Layout, index: usize, path: &PkgPath, txn: i64) -> PkgPath {
    layout.staged(index, path, txn).expect("a path too long to be staged was refused")
}

/// What each package is read from, and which of its files are staged.
struct Sources<'a, 'p> {
    contents: Vec<Content<'p>>,
    targets: Vec<Targets<'a>>,
}

/// All that staging needs to know and does not change.
struct Shape<'a> {
    root: &'a Root,
    packages: Packages<'a>,
    nodes: &'a [Node],
    layout: &'a Layout,
    rights: &'a Rights,
    txn: i64,
    paths: &'a [Option<PkgPath>],
}

/// Until it is filled, nobody else looks into a folder.
pub(crate) const PRIVATE: Mode = Mode::from_raw(0o700);

impl<'a> Shape<'a> {
    fn entry(&self, node: usize) -> &'a Entry {
        self.packages.entry(&self.nodes[node])
    }

    /// The nodes that are staged, with their staged paths.
    fn staged(&self) -> impl DoubleEndedIterator<Item = (usize, &'a Entry, &'a PkgPath)> + '_ {
        let paths = self.paths.iter().enumerate();
        paths.filter_map(|(node, path)| path.as_ref().map(|path| (node, self.entry(node), path)))
    }

    /// A second name keeps the administrator's file when the first one goes.
    fn save_changed(&self) -> Result<()> {
        for (index, staging) in self.layout.stagings.iter().enumerate() {
            if let What::Save(path) = &staging.what {
                stage_name(self.root, path, &staging.target, &staged_path(self.layout, index, path, self.txn))?;
            }
        }
        Ok(())
    }

    fn make_folders(&self) -> Result<()> {
        let mut folders = Batch::new(self.root);
        for (_, entry, path) in self.staged() {
            if matches!(entry.kind, EntryKind::Dir { .. }) {
                folders.at(path)?.create_dir(PRIVATE)?;
            }
        }
        Ok(())
    }

    /// What no package has.
    fn make_others(&self, time: Timestamp) -> Result<()> {
        for made in &self.layout.made {
            let path = staged_path(self.layout, made.staging, &made.path, self.txn);
            match &made.content {
                MadeContent::Folder => {
                    self.root.create_dir(&path, PRIVATE)?;
                    self.root.set_mode(&path, Mode::from_raw(0o755))?;
                }
                MadeContent::File { content, attributes } => self.make_file(&path, content, attributes, time)?,
                MadeContent::Kept(kept) => self.bring_back(kept, &path)?,
            }
        }
        Ok(())
    }

    fn bring_back(&self, kept: &PkgPath, path: &PkgPath) -> Result<()> {
        let (from, to) = (self.root.at(kept)?, self.root.at(path)?);
        if !displaced::second_name(&from, &to)? {
            return Err(pkgfs::Error::new("bring back", from.full_path(), Errno::ACCESS.into()).into());
        }
        Ok(())
    }

    fn make_file(&self, path: &PkgPath, content: &[u8], attributes: &Attributes, time: Timestamp) -> Result<()> {
        let mut file = self.root.create_file(path, Mode::from_raw(0o600))?;
        let full = self.root.path().join(path);
        let failed = |operation| {
            let full = full.clone();
            move |error| Error::Disk(pkgfs::Error::new(operation, full, error))
        };
        file.write_all(content).map_err(failed("write the file"))?;
        if let Some((uid, gid)) = attributes.owner.filter(|_| self.rights.is_root()) {
            fd::set_owner(&file, uid, gid).map_err(failed("set the owner of"))?;
        }
        for (name, value) in &attributes.xattrs {
            given(fd::set_xattr(&file, name, value)).map_err(failed("set an extended attribute of"))?;
        }
        fd::set_mode(&file, attributes.mode).map_err(failed("set the mode of"))?;
        fd::set_mtime(&file, time).map_err(failed("set the time of"))
    }

    /// Links, pipes, sockets and devices; what could not be given to them.
    fn make_nodes(&self) -> Result<Vec<Missing>> {
        let (mut folders, mut missing) = (Batch::new(self.root), Vec::new());
        for (node, entry, path) in self.staged() {
            let place = folders.at(path)?;
            let Some(made) = make_node(&place, entry) else { continue };
            let unset = match made {
                // In a user namespace not even root makes devices.
                Err(error) if error.kind == pkgfs::ErrorKind::Denied && is_device(entry) => Unset::DEVICE,
                made => made.map_err(Error::from).and_then(|()| give(self.rights, &place, entry))?,
            };
            if unset != Unset::NOTHING {
                missing.push((node, unset));
            }
        }
        Ok(missing)
    }

    /// Hard links come when all files stand; one to a file that stays is a link to that.
    fn make_hard_links(&self) -> Result<()> {
        for (_, entry, path) in self.staged() {
            let EntryKind::Hardlink { target } = &entry.kind else { continue };
            let node = self.nodes.binary_search_by(|node| self.packages.entry(node).path.cmp(target));
            let existing = node.ok().and_then(|node| self.paths[node].as_ref()).unwrap_or(target);
            self.root.hard_link(existing, path)?;
        }
        Ok(())
    }

    /// Reads every package to its end, verifies it, and makes its files; several packages at once, and what is no file
    /// meanwhile. `meanwhile` is called now and then, once for each package at least.
    fn make_files(
        &self,
        Sources { contents, targets }: Sources<'a, '_>,
        flushed: FlushMeter,
        mut meter: Meter<'_>,
        mut meanwhile: impl FnMut() -> Result<()>,
    ) -> Result<(Aside, Vec<Missing>)> {
        let queue = Mutex::new(contents.into_iter().enumerate().zip(targets));
        let relay = Relay::new();
        std::thread::scope(|scope| {
            let (tell, told) = sync_channel(TOLD);
            let reader = |_| {
                let writer = Writer::new(self.root, self.rights, flushed.clone());
                PackageReader::new(self.root, self.packages, writer, relay.giver(), tell.clone())
            };
            let readers: Vec<_> = (0..writer::threads()).map(reader).collect();
            drop((tell, flushed));
            let readers = threads::spawn_some(scope, readers.into_iter().map(|reader| || reader.run(&queue)))?;
            let made = self.make_nodes().and_then(|missing| {
                told.iter().try_for_each(|(package, size)| {
                    meter.add(package, size)?;
                    meanwhile()
                })?;
                Ok(missing)
            });
            // A reader that has nobody to tell stops.
            drop(told);
            let read = readers.into_iter().map(|reader| reader.join().expect("a reader does not panic"));
            let read = package_reader::gather(read);
            let mut missing = made?;
            // Somebody who gave up because of others has others who say why.
            let (aside, more) = read.map_err(|error| error.expect("a reader does not stop without a reason"))?;
            missing.extend(more);
            Ok((aside, missing))
        })
    }

    /// The files of each package that are staged.
    fn targets(&self) -> Vec<Targets<'a>> {
        let mut targets: Vec<Targets<'a>> = self.packages.incoming.iter().map(|_| Targets::new()).collect();
        let mut add = |node: usize, path: &PkgPath| {
            let entry = self.entry(node);
            if let EntryKind::File { digest, .. } = &entry.kind {
                let target = Target { path: path.clone(), node, entry };
                targets[self.nodes[node].source.package].entry(*digest).or_default().push(target);
            }
        };
        // What was added to stands there already.
        let made: HashSet<&PkgPath> = self.layout.made.iter().map(|made| &made.path).collect();
        for (node, _, path) in self.staged().filter(|(_, entry, _)| !made.contains(&entry.path)) {
            add(node, path);
        }
        for (index, staging) in self.layout.stagings.iter().enumerate() {
            if let What::Beside(node) = staging.what {
                add(node, &staged_path(self.layout, index, &staging.target, self.txn));
            }
        }
        targets
    }
}

/// Makes a link, pipe, socket or device; `None` for everything else.
pub(crate) fn make_node(place: &Place<'_>, entry: &Entry) -> Option<pkgfs::Result<()>> {
    Some(match &entry.kind {
        EntryKind::Symlink { target } => place.symlink(target),
        EntryKind::Fifo { .. } => place.create_node(FileKind::Fifo, PRIVATE, (0, 0)),
        EntryKind::Socket { .. } => place.create_node(FileKind::Socket, PRIVATE, (0, 0)),
        EntryKind::Char { major, minor, .. } => place.create_node(FileKind::Char, PRIVATE, (*major, *minor)),
        EntryKind::Block { major, minor, .. } => place.create_node(FileKind::Block, PRIVATE, (*major, *minor)),
        EntryKind::File { .. } | EntryKind::Dir { .. } | EntryKind::Hardlink { .. } | EntryKind::Ghost => return None,
    })
}

/// Gives owner, mode and time to what is no regular file.
pub(crate) fn give(rights: &Rights, place: &Place<'_>, entry: &Entry) -> Result<Unset> {
    let Grant { mut mode, owner, .. } = rights.grant(entry);
    let mut unset = Unset::NOTHING;
    if let Some((uid, gid)) = owner
        && place.stat()?.is_none_or(|stat| (stat.uid, stat.gid) != (uid, gid))
        && !allowed(place.set_owner(uid, gid))?
    {
        unset = unset | Unset::OWNER | if mode == plain(mode) { Unset::NOTHING } else { Unset::SETID };
        mode = plain(mode);
    }
    if !entry.xattrs.is_empty() {
        unset = unset | give_xattrs(place, entry)?;
    }
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        place.set_mode(mode)?;
        if place.stat()?.is_some_and(|stat| stat.mode != mode) {
            unset = unset | Unset::MODE;
        }
    }
    place.set_mtime(entry.mtime)?;
    Ok(unset)
}

/// Counts what was read.
struct Meter<'a> {
    packages: Packages<'a>,
    progress: &'a mut dyn Progress,
    bytes: u64,
    total: u64,
}

impl<'a> Meter<'a> {
    fn new(packages: Packages<'a>, progress: &'a mut dyn Progress) -> Self {
        let blobs = packages.incoming.iter().flat_map(|incoming| incoming.record.blobs());
        let total = blobs.filter_map(|blob| blob.size).fold(0, u64::saturating_add);
        Self { packages, progress, bytes: 0, total }
    }

    fn add(&mut self, package: usize, size: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(size);
        let package = &self.packages.incoming[package].record.meta().name;
        match self.progress.report(Event::Staged { package, bytes: self.bytes, total: self.total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }
}

fn is_device(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::Char { .. } | EntryKind::Block { .. })
}

/// Whether a property could be given; see [`given`].
fn allowed(answer: pkgfs::Result<()>) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) => match given(Err(error.source)) {
            Ok(given) => Ok(given),
            Err(source) => Err(pkgfs::Error::new(error.operation, error.path, source).into()),
        },
    }
}

/// Of a folder: nothing else that comes here has any.
fn give_xattrs(place: &Place<'_>, entry: &Entry) -> Result<Unset> {
    let folder = place.open_dir()?;
    let mut unset = Unset::NOTHING;
    for xattr in &entry.xattrs {
        let answer = given(fd::set_xattr(&folder, &xattr.name, &xattr.value));
        let error = |error| pkgfs::Error::new("set an extended attribute of", place.full_path(), error);
        if !answer.map_err(error)? {
            unset = unset | Unset::XATTRS;
        }
    }
    Ok(unset)
}
