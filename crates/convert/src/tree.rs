use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;

use archive::{Entry as ForeignEntry, EntryKind as ForeignKind};
use pkgformat::{Entry, EntryKind, Manifest, Principal, Use, Xattr};
use pkgtypes::{Digest, Mode, PkgPath};

use crate::report::{LossKind, Report};
use crate::spool::Spool;
use crate::{Error, Result};

/// Most bytes of paths that are added: what readers take of a manifest by default.
const MANIFEST: usize = 256 << 20;

/// The files of a foreign package as they come.
#[derive(Debug)]
pub(crate) struct Tree {
    spool: Spool,
    entries: BTreeMap<PkgPath, Entry>,
    /// Further names, with the first one of their file.
    links: HashMap<PkgPath, PkgPath>,
}

impl Tree {
    pub(crate) fn new(spool: Spool) -> Self {
        Self { spool, entries: BTreeMap::new(), links: HashMap::new() }
    }

    /// Leaves the first bytes of the scratch file to somebody else.
    pub(crate) fn skip(&mut self, bytes: u64) {
        self.spool.skip(bytes);
    }

    /// Takes an entry in.
    pub(crate) fn add(&mut self, foreign: &ForeignEntry, data: &mut dyn Read, report: &mut Report) -> Result<()> {
        let is_dir = foreign.kind == ForeignKind::Dir;
        let path = &foreign.path;
        let earlier = self.entries.get(path);
        let is_folder_again = is_dir && earlier.is_some_and(|earlier| matches!(earlier.kind, EntryKind::Dir { .. }));
        if (earlier.is_some() && !is_folder_again) || self.links.contains_key(path) {
            return Err(Error::Repeated { path: path.clone() });
        }
        if let ForeignKind::Hardlink { target } = &foreign.kind {
            return self.link(path, target);
        }
        let mut entry = Entry::new(path.clone(), self.kind(foreign, data)?);
        entry.mtime = foreign.mtime;
        entry.owner = principal(foreign.user.as_deref(), foreign.uid, path, report);
        entry.group = principal(foreign.group.as_deref(), foreign.gid, path, report);
        let attributes: BTreeMap<&[u8], &[u8]> =
            foreign.xattrs.iter().rev().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        for (name, value) in attributes {
            carry(&mut entry, name, value, report);
        }
        self.entries.insert(path.clone(), entry);
        Ok(())
    }

    /// Adds a path that the package owns and does not ship, unless it is there.
    pub(crate) fn add_ghost(&mut self, path: PkgPath) {
        if !self.links.contains_key(&path) {
            self.entries.entry(path.clone()).or_insert_with(|| Entry::new(path, EntryKind::Ghost));
        }
    }

    /// Gives a path a use. What can have none is reported; what is not there is passed over.
    pub(crate) fn mark(&mut self, path: &PkgPath, use_: Use, report: &mut Report) {
        let first = self.links.get(path).unwrap_or(path);
        let Some(entry) = self.entries.get_mut(first) else { return };
        match entry.kind {
            EntryKind::File { .. } | EntryKind::Dir { .. } => {
                entry.uses.insert(use_);
            }
            _ if use_ == Use::Config => {
                report.add(LossKind::Attribute, path.to_string(), "only files are configuration, and this is none");
            }
            _ => {}
        }
    }

    /// Uses that a path itself tells: documentation and licences in their places.
    pub(crate) fn mark_by_place(&mut self) {
        for (path, entry) in &mut self.entries {
            if let EntryKind::File { .. } = entry.kind {
                entry.uses.extend(use_of_place(path));
            }
        }
    }

    /// Files below `etc` are configuration.
    pub(crate) fn mark_below_etc(&mut self) {
        for (path, entry) in &mut self.entries {
            if matches!(entry.kind, EntryKind::File { .. }) && path.as_bytes().starts_with(b"etc/") {
                entry.uses.insert(Use::Config);
            }
        }
    }

    /// The entries so far, in path order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The content of a small text file; `None` where there is none, or one of more than a mebibyte.
    pub(crate) fn text(&self, digest: &Digest) -> Option<String> {
        const LIMIT: u64 = 1 << 20;
        let (size, mut content) = self.spool.content(digest)?;
        let mut text = String::new();
        (size <= LIMIT).then(|| content.read_to_string(&mut text).ok())??;
        Some(text)
    }

    /// The manifest, and the contents.
    pub(crate) fn finish(self) -> Result<(Manifest, Spool)> {
        let Self { spool, mut entries, links } = self;
        add_parents(&mut entries, &links)?;
        let mut names: BTreeMap<&PkgPath, BTreeSet<&PkgPath>> = BTreeMap::new();
        for (link, first) in &links {
            names.entry(first).or_insert_with(|| [first].into()).insert(link);
        }
        for (first, names) in names {
            relink(&mut entries, first, &names);
        }
        let manifest = Manifest::new(entries.into_values().collect()).map_err(pkgformat::Error::from)?;
        Ok((manifest, spool))
    }

    fn link(&mut self, path: &PkgPath, target: &PkgPath) -> Result<()> {
        let first = self.links.get(target).unwrap_or(target).clone();
        match self.entries.get(&first).map(|entry| &entry.kind) {
            Some(EntryKind::File { .. }) => {
                self.links.insert(path.clone(), first);
                Ok(())
            }
            _ => Err(Error::Hardlink { path: path.clone(), target: target.clone() }),
        }
    }

    fn kind(&mut self, foreign: &ForeignEntry, data: &mut dyn Read) -> Result<EntryKind> {
        let mode = foreign.mode;
        Ok(match &foreign.kind {
            ForeignKind::File { .. } => {
                let stored = self.spool.store(data)?;
                EntryKind::File { mode, size: stored.size, digest: stored.digest, elf: stored.elf }
            }
            ForeignKind::Dir => EntryKind::Dir { mode },
            ForeignKind::Symlink { target } => EntryKind::Symlink { target: target.clone() },
            ForeignKind::Char { device: (major, minor) } => EntryKind::Char { mode, major: *major, minor: *minor },
            ForeignKind::Block { device: (major, minor) } => EntryKind::Block { mode, major: *major, minor: *minor },
            ForeignKind::Fifo => EntryKind::Fifo { mode },
            ForeignKind::Hardlink { target } => {
                return Err(Error::Hardlink { path: foreign.path.clone(), target: target.clone() });
            }
        })
    }
}

/// The first name in path order has the file, and the others are links to it.
fn relink(entries: &mut BTreeMap<PkgPath, Entry>, first: &PkgPath, names: &BTreeSet<&PkgPath>) {
    let Some(mut file) = entries.remove(first) else { return };
    let mut names = names.iter().copied();
    let Some(head) = names.next() else { return };
    file.path = head.clone();
    entries.insert(head.clone(), file);
    for name in names {
        let link = EntryKind::Hardlink { target: head.clone() };
        entries.insert(name.clone(), Entry::new(name.clone(), link));
    }
}

/// Folders that the foreign package does not name: root's, mode 0755. Deep paths imply many long ones, so they are counted.
fn add_parents(entries: &mut BTreeMap<PkgPath, Entry>, links: &HashMap<PkgPath, PkgPath>) -> Result<()> {
    let mut missing: BTreeSet<PkgPath> = BTreeSet::new();
    let mut left = MANIFEST;
    for path in entries.keys().chain(links.keys()) {
        for folder in path.ancestors() {
            // What is above a folder that is known is known too, or comes from that folder itself.
            if entries.contains_key(&folder) || missing.contains(&folder) {
                break;
            }
            let too_large = Error::TooLarge { what: "paths of folders that are not listed", limit: MANIFEST };
            left = left.checked_sub(folder.as_bytes().len()).ok_or(too_large)?;
            missing.insert(folder);
        }
    }
    for path in missing {
        let mode = Mode::from_raw(0o755);
        entries.insert(path.clone(), Entry::new(path, EntryKind::Dir { mode }));
    }
    // A folder that is owned and not shipped, with something in it that is listed.
    let parents: BTreeSet<PkgPath> = entries.keys().filter_map(PkgPath::parent).collect();
    for path in parents {
        if let Some(entry) = entries.get_mut(&path).filter(|entry| entry.kind == EntryKind::Ghost) {
            entry.kind = EntryKind::Dir { mode: Mode::from_raw(0o755) };
        }
    }
    Ok(())
}

/// The owner by name; by number where there is no name.
fn principal(name: Option<&str>, id: u64, path: &PkgPath, report: &mut Report) -> Principal {
    if let Some(name) = name {
        match Principal::new(name) {
            Ok(principal) => return principal,
            Err(error) => report.add(LossKind::Attribute, path.to_string(), format!("{error}; its number counts")),
        }
    }
    match u32::try_from(id) {
        Ok(0) => Principal::ROOT,
        Ok(id) => Principal::from_id(id),
        Err(_) => {
            report.add(LossKind::Attribute, path.to_string(), format!("owner {id} is no 32-bit number; it is root's"));
            Principal::ROOT
        }
    }
}

/// Takes over the attributes that packages carry, as `pkg pack` does.
fn carry(entry: &mut Entry, name: &[u8], value: &[u8], report: &mut Report) {
    let mut lost = |why: &str| {
        report.add(LossKind::Attribute, format!("{}: {}", entry.path, name.escape_ascii()), why);
    };
    let of_user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    let is_carried = of_user
        || [&b"security.capability"[..], b"system.posix_acl_access", b"system.posix_acl_default"].contains(&name);
    let is_rich = matches!(entry.kind, EntryKind::File { .. } | EntryKind::Dir { .. });
    if !is_carried {
        lost("attributes of this kind belong to one machine");
    } else if !is_rich {
        lost("only files and folders have attributes");
    } else if name.len() > 255 {
        lost("its name is too long");
    } else {
        entry.xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
    }
}

/// As the builder marks what recipes install; Debian has its licences in files named `copyright`.
fn use_of_place(path: &PkgPath) -> Option<Use> {
    let path = path.as_bytes();
    let is_below = |folder: &str| path.strip_prefix(folder.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'/'));
    if is_below("usr/share/licenses") || (is_below("usr/share/doc") && path.ends_with(b"/copyright")) {
        Some(Use::License)
    } else if ["usr/share/doc", "usr/share/man", "usr/share/info"].into_iter().any(is_below) {
        Some(Use::Doc)
    } else {
        None
    }
}
