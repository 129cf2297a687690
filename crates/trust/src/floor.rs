use pkgformat::{Entry, EntryKind, PackageRecord};
use pkgtypes::{Mode, PkgPath};

use crate::Tier;

/// Where roots have what they trust: who writes there makes keys of his own trusted. `lib` leads to `usr/lib` in most roots, and
/// such links of the administrator's are followed.
const TRUST: [&[u8]; 3] = [b"etc/trust.d", b"usr/lib/trust.d", b"lib/trust.d"];

/// What makes files programs with rights.
const CAPABILITY: &[u8] = b"security.capability";

/// The least tier whose signatures count, by what the package does in a root, and what that is. `None`: any will do.
pub(crate) fn of(record: &PackageRecord) -> Option<(Tier, String)> {
    let entries = record.manifest().entries();
    if let Some(entry) = entries.iter().find(|entry| is_trust(&entry.path)) {
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

fn is_trust(path: &PkgPath) -> bool {
    let rest = TRUST.iter().find_map(|folder| path.as_bytes().strip_prefix(*folder));
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Programs that run with more than the caller's rights, devices, and what boots the machine.
fn gives_rights(entry: &Entry) -> bool {
    let is_device = matches!(entry.kind, EntryKind::Char { .. } | EntryKind::Block { .. });
    let is_setid = matches!(entry.kind, EntryKind::File { mode, .. } if mode.bits() & Mode::SETID != 0);
    let is_capable = entry.xattrs.iter().any(|xattr| *xattr.name == *CAPABILITY);
    is_device || is_setid || is_capable || entry.path.as_bytes().starts_with(b"boot/")
}
