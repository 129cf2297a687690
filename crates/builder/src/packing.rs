//! From an install tree to packages.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read};
use std::path::PathBuf;

use pkgformat::{
    Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Principal, ScriptKind, SeekReader, Trigger, Use,
    Writer, Xattr,
};
use pkgfs::{Durability, Root, TempFile};
use pkgtypes::{Arch, Digest, Mode, PackageName, PkgPath, Requirement};
use recipe::{Flag, Meta, Perm, Recipe, Script};

use crate::caches::Packed;
use crate::facts::{self, Facts};
use crate::split::split;
use crate::{Error, io_error};

/// Longest `#!` line that is looked at; the kernel reads no more.
const SHEBANG: u64 = 256;
/// Paths named in one message.
const NAMED: usize = 8;

/// The install tree of a build, as the package file it is kept in.
pub(crate) type TreeFile = SeekReader<BufReader<File>>;

/// Opens an install tree.
pub(crate) fn open_tree(path: &std::path::Path) -> Result<TreeFile, Error> {
    let package =
        |error: pkgformat::Error| Error::Package { action: "read", path: path.to_owned(), error: error.into() };
    let file = File::open(path).map_err(|error| Error::Io { action: "open", path: path.to_owned(), error })?;
    SeekReader::open(BufReader::new(file), Limits::default()).map_err(package)
}

/// Writes the packages of a recipe into a folder.
pub(crate) struct Packing<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) arch: &'a Arch,
    pub(crate) folder: &'a Root,
}

impl Packing<'_> {
    /// Splits `tree` (nothing, for a recipe without files) and writes a package for each output.
    pub(crate) fn run(&self, mut tree: Option<TreeFile>) -> Result<Vec<Packed>, Error> {
        let whole = match &tree {
            Some(tree) => self.with_perms(tree.package().manifest())?,
            None => Manifest::new(Vec::new()).map_err(|error| self.wrong(error.to_string()))?,
        };
        self.check_static(&whole)?;
        let outputs = self.recipe.outputs();
        let mut parts = split(&whole, &self.recipe.id().name, |path| outputs.package_of(path));
        let mut packages = Vec::new();
        for package in self.recipe.packages() {
            let entries = parts.remove(package).unwrap_or_default();
            let manifest = Manifest::new(entries).map_err(|error| self.wrong(error.to_string()))?;
            packages.push(self.pack(package, manifest, tree.as_mut())?);
        }
        Ok(packages)
    }

    fn wrong(&self, what: String) -> Error {
        Error::Result { recipe: Box::new(self.recipe.id().clone()), what }
    }

    /// The tree as `perms` wants it: modes, owners and capabilities that a build could not set. A setid bit that no
    /// line declares is refused.
    fn with_perms(&self, tree: &Manifest) -> Result<Manifest, Error> {
        let mut undeclared = Vec::new();
        let mut entries = tree.entries().to_vec();
        for entry in &mut entries {
            let perm = Perm::of(self.recipe.perms(), &entry.path);
            if let Some(perm) = perm {
                apply(perm, entry).map_err(|reason| self.wrong(format!("`perms` for `{}`: {reason}", entry.path)))?;
            }
            let declared = perm.is_some_and(|perm| perm.mode.is_some());
            let is_setid = entry.kind.mode().is_some_and(|mode| mode.bits() & Mode::SETID != 0);
            if is_setid && !declared && !matches!(entry.kind, EntryKind::Dir { .. }) {
                undeclared.push(entry.path.clone());
            }
            mark_use(entry);
        }
        if !undeclared.is_empty() {
            return Err(
                self.wrong(format!("setuid or setgid without a line in `perms`: {}", name_some(undeclared.iter())))
            );
        }
        Manifest::new(entries).map_err(|error| self.wrong(error.to_string()))
    }

    /// A program of a static recipe needs no library and no loader.
    fn check_static(&self, tree: &Manifest) -> Result<(), Error> {
        if !self.recipe.recipe_type().has(Flag::Static) {
            return Ok(());
        }
        let is_dynamic = |entry: &&Entry| match &entry.kind {
            EntryKind::File { elf: Some(elf), .. } => elf.interpreter.is_some() || !elf.needed.is_empty(),
            _ => false,
        };
        let dynamic: Vec<&PkgPath> = tree.entries().iter().filter(is_dynamic).map(|entry| &entry.path).collect();
        if dynamic.is_empty() {
            return Ok(());
        }
        Err(self
            .wrong(format!("`type` says static, but these are linked dynamically: {}", name_some(dynamic.into_iter()))))
    }

    fn pack(
        &self,
        package: &PackageName,
        manifest: Manifest,
        mut tree: Option<&mut TreeFile>,
    ) -> Result<Packed, Error> {
        let interpreters = match &mut tree {
            Some(tree) => interpreters(&manifest, tree).map_err(|error| self.wrong(error.to_string()))?,
            None => BTreeMap::new(),
        };
        let facts = Facts::of(&manifest, &interpreters, self.arch);
        let scripts = self.scripts(&self.recipe.meta(package))?;
        let (meta, found) = self.meta(package, &manifest, &facts, &scripts);
        let digest = pkgtree::tree_digest(&manifest);
        let record = PackageRecord::new(meta, manifest).map_err(|error| self.wrong(error.to_string()))?;
        let (file, size) = self.write(&record, &scripts, tree)?;
        let meta = record.meta();
        Ok(Packed {
            name: package.clone(),
            file,
            size,
            id: record.id(),
            tree: digest,
            requires: meta.requires.clone(),
            found,
            provides: meta.provides.clone(),
        })
    }

    /// What the package says of itself, and which of its requirements were found in its files.
    fn meta(
        &self,
        package: &PackageName,
        manifest: &Manifest,
        facts: &Facts,
        scripts: &BTreeMap<ScriptKind, Vec<u8>>,
    ) -> (PackageMeta, Vec<Requirement>) {
        let id = self.recipe.id();
        let said = self.recipe.meta(package);
        let rundeps = self.recipe.rundeps(package);
        let is_noarch = self.recipe.recipe_type().has(Flag::Noarch) || self.recipe.recipe_type().has(Flag::MetaOnly);
        let arch = if is_noarch { Arch::noarch() } else { self.arch.clone() };
        let mut meta = PackageMeta::new(package.clone(), id.version.clone(), id.release, arch);
        // A seed was cut down on purpose, so what its files link says less than its recipe does.
        let is_seed = id.release.0 == 0;
        let found: Vec<Requirement> = Facts::relations(&facts.requires)
            .map(Requirement::from)
            .filter(|requirement| !is_seed && !rundeps.leaves_out(requirement))
            .collect();
        meta.requires = rundeps.requirements().cloned().chain(found.iter().cloned()).collect();
        meta.provides = said.provides.iter().cloned().chain(Facts::relations(&facts.provides)).collect();
        meta.subpackage = (*package != id.name).then(|| package.to_string());
        meta.recipe_hash = Some(self.recipe.recipe_hash());
        meta.installed_size = Some(installed_size(manifest)).filter(|&size| size > 0);
        for (kind, script) in scripts {
            *slot(&mut meta, *kind) = Some(Digest::of(script));
        }
        meta.triggers = said
            .triggers
            .iter()
            .map(|(glob, command)| Trigger { glob: glob.to_string(), command: command.clone() })
            .collect();
        meta.license_files = said.license_files.iter().filter_map(|path| digest_of(manifest, path)).collect();
        meta.other = said.other.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
        let Meta { description, url, licenses, groups, tied, conflicts, obsoletes, recommends, suggests, .. } =
            said.clone();
        let Meta { sysusers, sysgroups, .. } = said;
        let meta = PackageMeta {
            description,
            url,
            licenses,
            groups,
            tied,
            conflicts,
            obsoletes,
            recommends,
            suggests,
            sysusers,
            sysgroups,
            ..meta
        };
        (meta, found)
    }

    fn scripts(&self, meta: &Meta) -> Result<BTreeMap<ScriptKind, Vec<u8>>, Error> {
        let named = [
            (ScriptKind::PreInstall, &meta.scripts.pre_install),
            (ScriptKind::PostInstall, &meta.scripts.post_install),
            (ScriptKind::PreRemove, &meta.scripts.pre_remove),
            (ScriptKind::PostRemove, &meta.scripts.post_remove),
        ];
        let read = |script: &Script| {
            let path = self.recipe.folder().join(script.path.as_path());
            std::fs::read(&path).map_err(|error| Error::Io { action: "read the script", path, error })
        };
        let there = named.into_iter().filter_map(|(kind, script)| Some((kind, script.as_ref()?)));
        there.map(|(kind, script)| Ok((kind, read(script)?))).collect()
    }

    fn write(
        &self,
        record: &PackageRecord,
        scripts: &BTreeMap<ScriptKind, Vec<u8>>,
        mut tree: Option<&mut TreeFile>,
    ) -> Result<(String, u64), Error> {
        let meta = record.meta();
        let name = format!("{}-{}-{}.{}.kpkg", meta.name, meta.version.upstream(), meta.release, meta.arch);
        let target = PkgPath::new(name.as_bytes()).map_err(|error| self.wrong(error.to_string()))?;
        let path: PathBuf = self.folder.path().join(&name);
        let format =
            |error: pkgformat::Error| Error::Package { action: "write", path: path.clone(), error: error.into() };
        let file = TempFile::new_for(self.folder, &target, Mode::from_raw(0o644))?;
        let mut writer = Writer::new(BufWriter::with_capacity(1 << 18, file.file()), record).map_err(format)?;
        while let Some(due) = writer.due() {
            match (scripts.values().find(|script| Digest::of(script) == due.digest), &mut tree) {
                (Some(script), _) => writer.blob(script.len() as u64, &script[..]).map_err(format)?,
                (None, Some(tree)) => {
                    let blob = tree.blob(&due.digest).map_err(format)?;
                    writer.blob(blob.size(), blob).map_err(format)?;
                }
                (None, None) => return Err(self.wrong(format!("nothing has the content {}", due.digest))),
            }
        }
        writer.finish().map_err(format)?;
        let size = file.file().metadata().map_err(io_error("look at", &path))?.len();
        file.persist(Durability::Atomic)?;
        Ok((name, size))
    }
}

fn apply(perm: &Perm, entry: &mut Entry) -> Result<(), pkgtypes::ParseError> {
    if let (Some(wanted), Some(mode)) = (perm.mode, entry.kind.mode_mut()) {
        *mode = wanted;
    }
    if let Some(owner) = &perm.owner {
        entry.owner = Principal::new(owner)?;
    }
    if let Some(group) = &perm.group {
        entry.group = Principal::new(group)?;
    }
    if let Some(capabilities) = perm.capabilities {
        let name = b"security.capability".to_vec();
        entry.xattrs.retain(|xattr| xattr.name != name);
        entry.xattrs.push(Xattr { name, value: capabilities.to_xattr().to_vec() });
    }
    Ok(())
}

/// What a path says of its file's purpose.
fn mark_use(entry: &mut Entry) {
    const PLACES: [(&str, Use); 5] = [
        ("etc", Use::Config),
        ("usr/share/doc", Use::Doc),
        ("usr/share/man", Use::Doc),
        ("usr/share/info", Use::Doc),
        ("usr/share/licenses", Use::License),
    ];
    let is_file = matches!(entry.kind, EntryKind::File { .. });
    let within =
        |place: &str| entry.path.as_bytes().strip_prefix(place.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    if let Some((_, purpose)) = PLACES.into_iter().find(|(place, _)| is_file && within(place)) {
        entry.uses.insert(purpose);
    }
}

/// Interpreters of the executable scripts, by path.
fn interpreters(manifest: &Manifest, tree: &mut TreeFile) -> pkgformat::Result<BTreeMap<PkgPath, String>> {
    let mut found = BTreeMap::new();
    for entry in manifest.entries() {
        let EntryKind::File { mode, digest, elf: None, size } = &entry.kind else { continue };
        if mode.bits() & 0o111 == 0 || *size == 0 {
            continue;
        }
        let mut head = Vec::new();
        tree.blob(digest)?.take(SHEBANG).read_to_end(&mut head)?;
        if let Some(interpreter) = facts::interpreter(&head) {
            found.insert(entry.path.clone(), interpreter);
        }
    }
    Ok(found)
}

fn installed_size(manifest: &Manifest) -> u64 {
    let size = |entry: &Entry| if let EntryKind::File { size, .. } = entry.kind { size } else { 0 };
    manifest.entries().iter().map(size).sum()
}

fn digest_of(manifest: &Manifest, path: &PkgPath) -> Option<Digest> {
    match manifest.find(path)?.kind {
        EntryKind::File { digest, .. } => Some(digest),
        _ => None,
    }
}

fn slot(meta: &mut PackageMeta, kind: ScriptKind) -> &mut Option<Digest> {
    match kind {
        ScriptKind::PreInstall => &mut meta.scripts.pre_install,
        ScriptKind::PostInstall => &mut meta.scripts.post_install,
        ScriptKind::PreRemove => &mut meta.scripts.pre_remove,
        ScriptKind::PostRemove => &mut meta.scripts.post_remove,
    }
}

fn name_some<'a>(mut paths: impl ExactSizeIterator<Item = &'a PkgPath>) -> String {
    let mut names: Vec<String> = paths.by_ref().take(NAMED).map(ToString::to_string).collect();
    if paths.len() > 0 {
        names.push(format!("and {} more", paths.len()));
    }
    names.join(", ")
}
