use pkgformat::{Entry, EntryKind, Manifest};
use pkgtypes::{Digest, Hasher};

/// The digest of what a tree holds: paths, types, modes, contents, targets and device numbers.
///
/// Two packages with the same tree digest give a build the same input, whatever their names, times, owners and uses
/// are: what was built with one need not be built again with the other. Ghosts are not in the tree and do not count.
///
/// ```
/// use pkgformat::{Entry, EntryKind, Manifest};
/// use pkgtypes::{Mode, PkgPath, Timestamp};
///
/// let mut entry = Entry::new(PkgPath::new(*b"bin")?, EntryKind::Dir { mode: Mode::from_raw(0o755) });
/// let old = Manifest::new(vec![entry.clone()])?;
/// entry.mtime = Timestamp::from_seconds(1);
/// let new = Manifest::new(vec![entry])?;
/// assert_eq!(pkgtree::tree_digest(&old), pkgtree::tree_digest(&new));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tree_digest(manifest: &Manifest) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(b"kista tree 1\0");
    for entry in manifest.entries() {
        add(&mut hasher, entry);
    }
    hasher.finish()
}

/// Every part has a length of its own or ends with a NUL, which no path and no target has, so no two trees are hashed as
/// the same bytes.
fn add(hasher: &mut Hasher, entry: &Entry) {
    if entry.kind == EntryKind::Ghost {
        return;
    }
    hasher.update(entry.path.as_bytes());
    hasher.update(b"\0");
    hasher.update(entry.kind.name().as_bytes());
    hasher.update(b"\0");
    if let Some(mode) = entry.kind.mode() {
        hasher.update(&mode.bits().to_be_bytes());
    }
    match &entry.kind {
        EntryKind::File { size, digest, .. } => {
            hasher.update(&size.to_be_bytes());
            hasher.update(digest.as_bytes());
        }
        EntryKind::Symlink { target } => {
            hasher.update(target);
            hasher.update(b"\0");
        }
        EntryKind::Hardlink { target } => {
            hasher.update(target.as_bytes());
            hasher.update(b"\0");
        }
        EntryKind::Char { major, minor, .. } | EntryKind::Block { major, minor, .. } => {
            hasher.update(&major.to_be_bytes());
            hasher.update(&minor.to_be_bytes());
        }
        EntryKind::Dir { .. } | EntryKind::Fifo { .. } | EntryKind::Socket { .. } | EntryKind::Ghost => {}
    }
}

#[cfg(test)]
mod tests {
    use pkgtypes::{Mode, PkgPath};

    use super::*;

    fn of(kind: EntryKind) -> Digest {
        let entry = Entry::new(PkgPath::new(*b"a").unwrap(), kind);
        tree_digest(&Manifest::new(vec![entry]).unwrap())
    }

    fn file(mode: u32, content: &[u8]) -> EntryKind {
        let (size, digest) = (content.len() as u64, Digest::of(content));
        EntryKind::File { mode: Mode::from_raw(mode), size, digest, elf: None }
    }

    #[test]
    fn what_a_build_can_see_counts() {
        let kinds = [
            file(0o644, b"a"),
            file(0o755, b"a"),
            file(0o644, b"b"),
            EntryKind::Symlink { target: b"a".to_vec() },
            EntryKind::Symlink { target: b"b".to_vec() },
            EntryKind::Dir { mode: Mode::from_raw(0o755) },
            EntryKind::Ghost,
        ];
        let digests: std::collections::BTreeSet<Digest> = kinds.iter().cloned().map(of).collect();
        assert_eq!(digests.len(), kinds.len());
        assert_eq!(of(EntryKind::Ghost), tree_digest(&Manifest::default()));
    }
}
