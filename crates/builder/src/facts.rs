//! What an install tree offers and needs, read off its manifest.

use std::collections::{BTreeMap, BTreeSet};

use pkgformat::{Entry, EntryKind, Manifest};
use pkgtypes::{Arch, Capability, PkgPath, Relation};

/// Folders the dynamic linker searches by itself; a library elsewhere is private and offers nothing.
const LIBRARY_FOLDERS: [&str; 4] = ["lib", "lib64", "usr/lib", "usr/lib64"];
/// Folders a shell finds commands in.
const COMMAND_FOLDERS: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];

/// Capabilities that were found in a tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `so:`, `cmd:` and `pkgconfig:` of what lies in the usual places.
    pub(crate) provides: BTreeSet<Capability>,
    /// `so:` of the libraries that its programs link, `cmd:` of its scripts' interpreters.
    pub(crate) requires: BTreeSet<Capability>,
}

impl Facts {
    /// Reads the facts of `manifest`; `interpreters` names the interpreters of its scripts by path.
    pub(crate) fn of(manifest: &Manifest, interpreters: &BTreeMap<PkgPath, String>, arch: &Arch) -> Self {
        let mut facts = Self::default();
        for entry in manifest.entries() {
            facts.provides.extend(offered(entry, arch));
            facts.requires.extend(needed(entry, interpreters, arch));
        }
        let own: Vec<_> = facts.requires.intersection(&facts.provides).cloned().collect();
        for capability in own {
            facts.requires.remove(&capability);
        }
        facts
    }

    /// The found capabilities as relations of a package.
    pub(crate) fn relations(capabilities: &BTreeSet<Capability>) -> impl Iterator<Item = Relation> {
        capabilities.iter().cloned().map(Relation::any)
    }
}

/// `so:NAME`, with `(64bit)` where the machine has such words, so that the two kinds never satisfy each other.
fn library(name: &str, arch: &Arch) -> Option<Capability> {
    let suffix = if arch.as_str().ends_with("64") { "(64bit)" } else { "" };
    format!("so:{name}{suffix}").parse().ok()
}

fn offered(entry: &Entry, arch: &Arch) -> Option<Capability> {
    let folder = entry.path.parent()?;
    let name = std::str::from_utf8(entry.path.file_name()).ok()?;
    match &entry.kind {
        EntryKind::File { elf: Some(elf), .. } if elf.soname.is_some() && is_library_folder(&folder) => {
            library(elf.soname.as_deref()?, arch)
        }
        EntryKind::File { mode, .. } if is_one_of(&folder, &COMMAND_FOLDERS) && mode.bits() & 0o111 != 0 => {
            command(name)
        }
        EntryKind::Symlink { .. } | EntryKind::Hardlink { .. } if is_one_of(&folder, &COMMAND_FOLDERS) => command(name),
        EntryKind::File { .. } | EntryKind::Symlink { .. } if folder.file_name() == b"pkgconfig" => {
            format!("pkgconfig:{}", name.strip_suffix(".pc")?).parse().ok()
        }
        _ => None,
    }
}

fn command(name: &str) -> Option<Capability> {
    format!("cmd:{name}").parse().ok()
}

fn needed(entry: &Entry, interpreters: &BTreeMap<PkgPath, String>, arch: &Arch) -> Vec<Capability> {
    let EntryKind::File { elf, .. } = &entry.kind else { return Vec::new() };
    let libraries = elf.iter().flat_map(|elf| &elf.needed).filter_map(|name| library(name, arch));
    libraries.chain(interpreters.get(&entry.path).and_then(|name| command(name))).collect()
}

fn is_one_of(folder: &PkgPath, folders: &[&str]) -> bool {
    folders.iter().any(|known| folder.as_bytes() == known.as_bytes())
}

/// A library folder, or one for a single machine type below it: `usr/lib/x86_64-linux-gnu`.
fn is_library_folder(folder: &PkgPath) -> bool {
    let is_multiarch = |folder: &PkgPath| folder.file_name().windows(7).any(|part| part == b"-linux-");
    is_one_of(folder, &LIBRARY_FOLDERS)
        || (is_multiarch(folder) && folder.parent().is_some_and(|above| is_one_of(&above, &LIBRARY_FOLDERS)))
}

/// The command that runs a script, from the script's first bytes: `#!/usr/bin/env python3 -u` gives `python3`.
pub(crate) fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let program = words.next()?.rsplit('/').next()?;
    let program =
        if program == "env" { words.find(|word| !word.starts_with('-') && !word.contains('='))? } else { program };
    Some(program.rsplit('/').next().unwrap_or(program).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pkgformat::ElfFacts;
    use pkgtypes::{Digest, Mode};

    use super::*;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry::new(PkgPath::new(path.as_bytes()).unwrap(), kind)
    }

    fn file(path: &str, mode: u32, soname: Option<&str>, needed: &[&str]) -> Entry {
        let elf = ElfFacts {
            soname: soname.map(str::to_owned),
            needed: needed.iter().map(|&name| name.to_owned()).collect(),
            ..ElfFacts::default()
        };
        let kind = EntryKind::File { mode: Mode::from_raw(mode), size: 0, digest: Digest::of(""), elf: elf.boxed() };
        entry(path, kind)
    }

    fn manifest(mut entries: Vec<Entry>) -> Manifest {
        let folders: BTreeSet<PkgPath> =
            entries.iter().flat_map(|entry| entry.path.ancestors().collect::<Vec<_>>()).collect();
        for folder in folders {
            entries.push(entry(
                std::str::from_utf8(folder.as_bytes()).unwrap(),
                EntryKind::Dir { mode: Mode::from_raw(0o755) },
            ));
        }
        Manifest::new(entries).unwrap()
    }

    fn texts(capabilities: &BTreeSet<Capability>) -> Vec<&str> {
        capabilities.iter().map(Capability::as_str).collect()
    }

    #[test]
    fn what_lies_in_the_usual_places_is_offered() {
        let tree = manifest(vec![
            file("usr/lib/libz.so.1.2.13", 0o755, Some("libz.so.1"), &["libc.so.6"]),
            file("usr/lib/x86_64-linux-gnu/liba.so.1", 0o644, Some("liba.so.1"), &["libz.so.1"]),
            file("usr/lib/app/plugin.so", 0o644, Some("plugin.so"), &[]),
            file("usr/lib/pkgconfig/zlib.pc", 0o644, None, &[]),
            file("usr/bin/tool", 0o755, None, &[]),
            file("usr/bin/notes", 0o644, None, &[]),
            entry("bin/sh", EntryKind::Symlink { target: b"dash".to_vec() }),
        ]);
        let scripts = BTreeMap::from([(PkgPath::new(b"usr/bin/tool".as_slice()).unwrap(), "perl".to_owned())]);
        let facts = Facts::of(&tree, &scripts, &"x86_64".parse().unwrap());
        assert_eq!(
            texts(&facts.provides),
            ["cmd:sh", "cmd:tool", "pkgconfig:zlib", "so:liba.so.1(64bit)", "so:libz.so.1(64bit)"]
        );
        assert_eq!(texts(&facts.requires), ["cmd:perl", "so:libc.so.6(64bit)"]);
    }

    #[test]
    fn interpreters_of_scripts() {
        assert_eq!(interpreter(b"#!/bin/sh -e\nexit").as_deref(), Some("sh"));
        assert_eq!(interpreter(b"#! /usr/bin/env -S A=b python3 -u\n").as_deref(), Some("python3"));
        assert_eq!(interpreter(b"#!/bin/sh").as_deref(), Some("sh"));
        assert_eq!(interpreter(b"\x7fELF"), None);
        assert_eq!(interpreter(b"#!\n"), None);
    }
}
