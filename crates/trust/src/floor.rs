use std::collections::BTreeSet;

use pkgformat::{Entry, EntryKind, PackageRecord};
use pkgtypes::{Mode, PkgPath};

use crate::Tier;

/// What makes files programs with rights.
const CAPABILITY: &[u8] = b"security.capability";

/// The names of the trust directories: a package that brings something there needs a trusted key. `lib` leads to `usr/lib` in
/// most roots, and such links of the administrator's are followed.
pub const TRUST_FOLDERS: [&str; 3] = ["etc/trust.d", "usr/lib/trust.d", "lib/trust.d"];

/// Where a root has what it trusts: who writes there makes keys of his own trusted.
#[derive(Debug, Clone)]
pub(crate) struct TrustPlaces {
    folders: BTreeSet<PkgPath>,
    /// The folders above them, and links that lead there: what else stands there leads elsewhere.
    passages: BTreeSet<PkgPath>,
}

impl Default for TrustPlaces {
    fn default() -> Self {
        let [etc, vendor, lib] = TRUST_FOLDERS.map(fixed);
        let mut places = Self { folders: BTreeSet::from([lib]), passages: BTreeSet::new() };
        [etc, vendor].into_iter().for_each(|folder| places.add(folder, []));
        places
    }
}

impl TrustPlaces {
    /// Adds a folder, and the links by which it is reached.
    pub(crate) fn add(&mut self, folder: PkgPath, links: impl IntoIterator<Item = PkgPath>) {
        self.passages.extend(folder.ancestors().chain(links));
        self.folders.insert(folder);
    }

    fn concerns(&self, entry: &Entry) -> bool {
        let path = &entry.path;
        let is_folder = matches!(entry.kind, EntryKind::Dir { .. });
        self.folders.iter().any(|folder| path.is_within(folder)) || (!is_folder && self.passages.contains(path))
    }
}

fn fixed(path: &'static str) -> PkgPath {
    PkgPath::new(path.as_bytes()).expect("the path is written here and valid")
}

/// The least tier whose signatures count, by what the package does in a root, and what that is. `None`: any will do.
pub(crate) fn of(record: &PackageRecord, places: &TrustPlaces) -> Option<(Tier, String)> {
    let entries = record.manifest().entries();
    if let Some(entry) = entries.iter().find(|entry| places.concerns(entry)) {
        return Some((Tier::Trusted, format!("brings /{}", entry.path)));
    }
    let meta = record.meta();
    if let Some((kind, _)) = meta.scripts.iter().next() {
        return Some((Tier::Senior, format!("has `{}`", kind.entry_name())));
    }
    if !meta.triggers.is_empty() {
        return Some((Tier::Senior, "has a trigger".to_owned()));
    }
    let entry = entries.iter().find(|entry| gives_rights(entry))?;
    Some((Tier::Senior, format!("brings /{}", entry.path)))
}

/// Programs that run with more than the caller's rights, devices, and what boots the machine.
fn gives_rights(entry: &Entry) -> bool {
    let is_device = matches!(entry.kind, EntryKind::Char { .. } | EntryKind::Block { .. });
    let is_setid = matches!(entry.kind, EntryKind::File { mode, .. } if mode.bits() & Mode::SETID != 0);
    let is_capable = entry.xattrs.iter().any(|xattr| *xattr.name == *CAPABILITY);
    is_device || is_setid || is_capable || entry.path.as_bytes().starts_with(b"boot/")
}
