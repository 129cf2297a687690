//! Packages with all that a package can have, made on the spot.

use std::collections::BTreeMap;

use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, ScriptKind, Trigger, Use, Writer};
use pkgtypes::{Digest, Mode, PkgPath};

use crate::Env;

/// A package in the making. Everything in it belongs to the first user.
#[derive(Debug)]
pub struct Pack {
    meta: PackageMeta,
    entries: BTreeMap<PkgPath, Entry>,
    contents: BTreeMap<Digest, Vec<u8>>,
}

impl Pack {
    /// A package of this name and version, release 1.
    pub fn new(name: &str, version: &str) -> Self {
        let name = name.parse().expect("a test gives a good name");
        let version = version.parse().expect("a test gives a good version");
        let meta = PackageMeta::new(name, version, pkgtypes::Release(1), "noarch".parse().expect("it is known"));
        Self { meta, entries: BTreeMap::new(), contents: BTreeMap::new() }
    }

    fn entry(mut self, at: &str, kind: EntryKind) -> Self {
        let path = PkgPath::new(at.as_bytes()).expect("a test gives a good path");
        let folders = path.ancestors().map(|folder| (folder, EntryKind::Dir { mode: Mode::from_raw(0o755) }));
        for (path, kind) in folders.chain([(path.clone(), kind)]).collect::<Vec<_>>() {
            self.entries.entry(path.clone()).or_insert_with(|| {
                let mut entry = Entry::new(path, kind);
                if !matches!(entry.kind, EntryKind::Hardlink { .. }) {
                    entry.owner = "0".parse().expect("the first user has this number");
                    entry.group = "0".parse().expect("the first group has this number");
                }
                entry
            });
        }
        self
    }

    /// A file.
    #[must_use]
    pub fn file(mut self, at: &str, mode: u32, content: &str) -> Self {
        let digest = self.content(content);
        let size = content.len() as u64;
        self.entry(at, EntryKind::File { mode: Mode::from_raw(mode), size, digest, elf: None })
    }

    fn content(&mut self, content: &str) -> Digest {
        let digest = Digest::of(content);
        self.contents.insert(digest, content.into());
        digest
    }

    /// A configuration file.
    #[must_use]
    pub fn config(mut self, at: &str, content: &str) -> Self {
        self = self.file(at, 0o644, content);
        let path = PkgPath::new(at.as_bytes()).expect("it was taken above");
        self.entries.entry(path).and_modify(|entry| {
            entry.uses.insert(Use::Config);
        });
        self
    }

    /// One more name for a file.
    #[must_use]
    pub fn hardlink(self, at: &str, target: &str) -> Self {
        let target = PkgPath::new(target.as_bytes()).expect("a test gives a good path");
        self.entry(at, EntryKind::Hardlink { target })
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, at: &str, target: &str) -> Self {
        self.entry(at, EntryKind::Symlink { target: target.into() })
    }

    /// A character device that everybody may use.
    #[must_use]
    pub fn device(self, at: &str, (major, minor): (u32, u32)) -> Self {
        self.entry(at, EntryKind::Char { mode: Mode::from_raw(0o666), major, minor })
    }

    /// A shell script that comes after the package (`PostInstall`) or after it is gone (`PostRemove`), and the like.
    #[must_use]
    pub fn script(mut self, kind: ScriptKind, text: &str) -> Self {
        let digest = self.content(&format!("#!/bin/sh\n{text}\n"));
        let scripts = &mut self.meta.scripts;
        let script = match kind {
            ScriptKind::PreInstall => &mut scripts.pre_install,
            ScriptKind::PostInstall => &mut scripts.post_install,
            ScriptKind::PreRemove => &mut scripts.pre_remove,
            ScriptKind::PostRemove => &mut scripts.post_remove,
        };
        *script = Some(digest);
        self
    }

    /// A command that runs when paths of this pattern come or go.
    #[must_use]
    pub fn trigger(mut self, glob: &str, command: &str) -> Self {
        self.meta.triggers.push(Trigger { glob: glob.to_owned(), command: command.to_owned() });
        self
    }

    /// A line that says which user the package needs.
    #[must_use]
    pub fn user(mut self, line: &str) -> Self {
        self.meta.sysusers.push(line.to_owned());
        self
    }

    /// Writes it as `NAME-VERSION.kpkg`, signed with the key of [`Env::trusted_root`]; gives the file's name.
    ///
    /// # Panics
    /// The package contradicts itself.
    pub fn write(self, env: &Env) -> String {
        let Self { meta, entries, contents } = self;
        let file = format!("{}-{}.kpkg", meta.name, meta.version);
        let manifest = Manifest::new(entries.into_values().collect()).expect("the tree is one");
        let record = PackageRecord::new(meta, manifest).expect("the package is one");
        let mut writer = Writer::new(Vec::new(), &record).expect("memory takes everything");
        for blob in record.blobs() {
            let content = &contents[&blob.digest];
            writer.blob(content.len() as u64, &content[..]).expect("memory takes everything");
        }
        let (bytes, _) = writer.finish().expect("memory takes everything");
        env.write(&file, bytes);
        env.pkg(&["trust", "sign", &file, "--key", "key"]).code(0);
        file
    }
}
