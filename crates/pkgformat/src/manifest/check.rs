use pkgtypes::{PkgPath, Timestamp};

use super::entry::{ElfFacts, Entry, EntryKind};
use super::find;
use crate::error::ManifestError;
use crate::text;

/// Checks entries one by one, each against those before it.
#[derive(Debug, Default)]
pub(super) struct Checker {
    /// Indexes of the folders that the last entry is in or is, from the top down.
    folders: Vec<u32>,
}

impl Checker {
    /// Checks `entry`, which follows `before`.
    pub(super) fn check(&mut self, before: &[Entry], entry: &Entry) -> Result<(), ManifestError> {
        check_order(before, entry)?;
        self.check_parent(before, entry)?;
        check_belongings(entry)?;
        check_values(entry)?;
        match &entry.kind {
            EntryKind::Hardlink { target } => check_link(before, entry, target),
            _ => Ok(()),
        }
    }

    fn check_parent(&mut self, before: &[Entry], entry: &Entry) -> Result<(), ManifestError> {
        while let Some(&folder) = self.folders.last() {
            if entry.path.is_within(&before[folder as usize].path) {
                break;
            }
            self.folders.pop();
        }
        let parent_len = entry.path.as_bytes().len() - entry.path.file_name().len();
        let folder_len = self.folders.last().map_or(0, |&folder| before[folder as usize].path.as_bytes().len() + 1);
        if parent_len != folder_len {
            return Err(missing_parent(before, entry));
        }
        if matches!(entry.kind, EntryKind::Dir { .. }) {
            // More than 2^32 entries do not fit into memory.
            self.folders.push(before.len() as u32);
        }
        Ok(())
    }
}

fn check_order(before: &[Entry], entry: &Entry) -> Result<(), ManifestError> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let Some(previous) = before.last() else { return Ok(()) };
    match previous.path.cmp(&entry.path) {
        Less => Ok(()),
        Equal => Err(ManifestError::Repeated { path: entry.path.clone() }),
        Greater => Err(ManifestError::Unsorted { path: entry.path.clone(), previous: previous.path.clone() }),
    }
}

/// The nearest folder above `entry` that is missing, or the thing there that is none.
fn missing_parent(before: &[Entry], entry: &Entry) -> ManifestError {
    let path = entry.path.clone();
    let listed = entry.path.ancestors().find_map(|above| find(before, &above)).map(|index| &before[index]);
    match listed {
        Some(other) if !matches!(other.kind, EntryKind::Dir { .. }) => {
            ManifestError::ParentNotDir { path, parent: other.path.clone() }
        }
        _ => match entry.path.parent() {
            Some(parent) => ManifestError::MissingParent { path, parent },
            None => ManifestError::Repeated { path },
        },
    }
}

/// What only some types can have.
fn check_belongings(entry: &Entry) -> Result<(), ManifestError> {
    let bare = matches!(entry.kind, EntryKind::Hardlink { .. } | EntryKind::Ghost);
    let rich = matches!(entry.kind, EntryKind::File { .. } | EntryKind::Dir { .. });
    let misplaced = [
        ("owner", bare && !entry.owner.is_root()),
        ("group", bare && !entry.group.is_root()),
        ("mtime", bare && entry.mtime != Timestamp::EPOCH),
        ("xattr", !rich && !entry.xattrs.is_empty()),
        ("use", !rich && !entry.uses.is_empty()),
    ];
    match misplaced.into_iter().find(|(_, misplaced)| *misplaced) {
        Some((name, _)) => Err(ManifestError::Misplaced { path: entry.path.clone(), kind: entry.kind.name(), name }),
        None => Ok(()),
    }
}

fn check_values(entry: &Entry) -> Result<(), ManifestError> {
    let wrong = |name, reason| Err(ManifestError::Value { path: entry.path.clone(), name, reason });
    for xattr in &entry.xattrs {
        if !(1..=255).contains(&xattr.name.len()) || xattr.name.contains(&0) {
            return wrong("xattr", "a name has 1 to 255 bytes and no NUL");
        }
    }
    if entry.xattrs.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return wrong("xattr", "a name stands twice");
    }
    match &entry.kind {
        EntryKind::Symlink { target } if target.is_empty() || target.contains(&0) => {
            wrong("target", "one or more bytes without NUL are expected")
        }
        EntryKind::File { elf: Some(elf), .. } => {
            wrong_fact(elf).map_or(Ok(()), |name| wrong(name, "text without control characters is expected"))?;
            match &elf.build_id {
                Some(id) if !text::is_hex(id) => wrong("build-id", "lower case hex digits, two a byte, are expected"),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn wrong_fact(elf: &ElfFacts) -> Option<&'static str> {
    let is_wrong = |text: &Option<String>| text.as_ref().is_some_and(|text| !text::is_text(text));
    if is_wrong(&elf.soname) {
        Some("soname")
    } else if is_wrong(&elf.interpreter) {
        Some("interpreter")
    } else if elf.needed.iter().any(|name| !text::is_text(name)) {
        Some("needed")
    } else {
        None
    }
}

fn check_link(before: &[Entry], entry: &Entry, target: &PkgPath) -> Result<(), ManifestError> {
    let reason = match find(before, target).map(|index| &before[index].kind) {
        Some(EntryKind::File { .. }) => return Ok(()),
        Some(_) => "its target must be a file entry",
        None => "its target must be listed before it",
    };
    Err(ManifestError::HardlinkTarget { path: entry.path.clone(), target: target.clone(), reason })
}
