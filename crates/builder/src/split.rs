//! One install tree, several packages.

use std::collections::{BTreeMap, BTreeSet};

use pkgformat::{Entry, EntryKind, Manifest};
use pkgtypes::{PackageName, PkgPath};

/// Gives every entry of `tree` to the package that `package_of` names for its path, the others to `main`.
///
/// A folder goes along with everything in it, so several packages may own it; an empty one goes where its own path
/// does. A hard link whose file went to another package becomes a file of its own.
pub(crate) fn split<'a>(
    tree: &'a Manifest,
    main: &'a PackageName,
    package_of: impl Fn(&PkgPath) -> Option<&'a PackageName>,
) -> BTreeMap<PackageName, Vec<Entry>> {
    let mut parts: BTreeMap<&PackageName, Part<'_>> = BTreeMap::from([(main, Part::default())]);
    let populated: BTreeSet<PkgPath> = tree.entries().iter().filter_map(|entry| entry.path.parent()).collect();
    for entry in tree.entries() {
        let is_populated_folder = matches!(entry.kind, EntryKind::Dir { .. }) && populated.contains(&entry.path);
        if !is_populated_folder {
            parts.entry(package_of(&entry.path).unwrap_or(main)).or_default().take(tree, entry);
        }
    }
    parts.into_iter().map(|(name, part)| (name.clone(), part.entries.into_values().collect())).collect()
}

/// The entries of one package as they are gathered.
#[derive(Default)]
struct Part<'a> {
    entries: BTreeMap<PkgPath, Entry>,
    /// Files of other packages that a hard link brought here, and where they are here.
    copied: BTreeMap<&'a PkgPath, PkgPath>,
}

impl<'a> Part<'a> {
    fn take(&mut self, tree: &'a Manifest, entry: &'a Entry) {
        for folder in entry.path.ancestors().filter_map(|path| tree.find(&path)) {
            self.entries.entry(folder.path.clone()).or_insert_with(|| folder.clone());
        }
        let entry = match &entry.kind {
            EntryKind::Hardlink { target } if !self.entries.contains_key(target) => self.relink(tree, entry, target),
            _ => entry.clone(),
        };
        self.entries.insert(entry.path.clone(), entry);
    }

    fn relink(&mut self, tree: &Manifest, link: &Entry, target: &'a PkgPath) -> Entry {
        if let Some(here) = self.copied.get(target) {
            return Entry { kind: EntryKind::Hardlink { target: here.clone() }, ..link.clone() };
        }
        self.copied.insert(target, link.path.clone());
        let file = tree.find(target).expect("a manifest lists the target of every hard link");
        Entry { path: link.path.clone(), ..file.clone() }
    }
}

#[cfg(test)]
mod tests {
    use pkgtypes::{Digest, Mode};

    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry::new(PkgPath::new(path.as_bytes()).unwrap(), kind)
    }

    fn file(path: &str) -> Entry {
        let kind = EntryKind::File { mode: Mode::from_raw(0o644), size: 0, digest: Digest::of(""), elf: None };
        entry(path, kind)
    }

    fn folder(path: &str) -> Entry {
        entry(path, EntryKind::Dir { mode: Mode::from_raw(0o755) })
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(path, EntryKind::Hardlink { target: PkgPath::new(target.as_bytes()).unwrap() })
    }

    /// Splits a tree in two: what begins with `prefix` goes to `other`.
    fn parts(entries: Vec<Entry>, prefix: &str) -> [Vec<Entry>; 2] {
        let tree = Manifest::new(entries).unwrap();
        let [main, other] = ["main", "other"].map(|name| name.parse::<PackageName>().unwrap());
        let matches = |path: &PkgPath| path.as_bytes().starts_with(prefix.as_bytes());
        let mut parts = split(&tree, &main, |path| matches(path).then_some(&other));
        let parts = [&main, &other].map(|name| parts.remove(name).unwrap_or_default());
        for entries in &parts {
            Manifest::new(entries.clone()).expect("every part is a manifest of its own");
        }
        parts
    }

    fn paths(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(|entry| entry.path.to_string()).collect()
    }

    #[test]
    fn a_folder_goes_along_with_what_is_in_it() {
        let tree = vec![
            folder("usr"),
            folder("usr/include"),
            file("usr/include/zlib.h"),
            folder("usr/lib"),
            file("usr/lib/libz.so.1"),
        ];
        let [main, other] = parts(tree, "usr/include");
        assert_eq!(paths(&other), ["usr", "usr/include", "usr/include/zlib.h"]);
        assert_eq!(paths(&main), ["usr", "usr/lib", "usr/lib/libz.so.1"]);
    }

    #[test]
    fn an_empty_folder_goes_where_its_path_does() {
        let [main, other] = parts(vec![folder("usr"), folder("usr/include"), folder("var")], "usr/include");
        assert_eq!(paths(&other), ["usr", "usr/include"]);
        assert_eq!(paths(&main), ["var"]);
    }

    #[test]
    fn a_hard_link_across_packages_becomes_a_file() {
        let [_, other] = parts(vec![file("a"), link("b1", "a"), link("b2", "a")], "b");
        assert!(matches!(other[0].kind, EntryKind::File { .. }));
        assert!(matches!(&other[1].kind, EntryKind::Hardlink { target } if target.as_bytes() == b"b1"));
    }
}
