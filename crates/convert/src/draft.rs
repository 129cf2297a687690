use std::collections::BTreeSet;
use std::fs::File;

use pkgformat::{EntryKind, PackageMeta, Use};
use pkgtypes::{Arch, Capability, Constraint, Digest, PackageName, PkgPath, Relation, Release, Requirement, Version};

use crate::converted::Converted;
use crate::effects::{self, Effect};
use crate::report::{LossKind, Report};
use crate::spool::Spool;
use crate::tree::Tree;
use crate::{Error, Format, Result};

/// Most bytes of metadata: what readers take by default, less some room for the digests that come last.
const METADATA: u64 = (1 << 20) - (64 << 10);

/// A package in the making.
pub(crate) struct Draft {
    format: Format,
    pub(crate) meta: PackageMeta,
    pub(crate) report: Report,
    pub(crate) tree: Tree,
}

/// Which list of the metadata a requirement goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Requires,
    Recommends,
    Suggests,
}

/// One relation of a foreign package in our words: a capability, and constraints that hold together.
pub(crate) struct Target {
    pub(crate) capability: Capability,
    pub(crate) constraints: Vec<Constraint>,
}

impl Target {
    fn relations(&self) -> Vec<Relation> {
        if self.constraints.is_empty() {
            return vec![Relation::any(self.capability.clone())];
        }
        let one = |constraint: &Constraint| Relation {
            capability: self.capability.clone(),
            constraint: Some(constraint.clone()),
        };
        self.constraints.iter().map(one).collect()
    }
}

impl Draft {
    pub(crate) fn new(format: Format, meta: PackageMeta, spool: File) -> Self {
        Self { format, meta, report: Report::default(), tree: Tree::new(Spool::new(spool)) }
    }

    /// The beginning that all formats share: a name in our grammar, and what the package called itself.
    pub(crate) fn begin(format: Format, name: &str, version: &str, arch: &str, spool: File) -> Result<Self> {
        let scheme = format.scheme().ok_or(Error::Missing { format: format.as_str(), field: "version" })?;
        let mapped = scheme.version(version)?;
        let own = name.parse::<PackageName>();
        let folded = match own {
            Ok(name) => name,
            Err(source) => crate::name::package_name(name).ok_or(Error::Value {
                format: format.as_str(),
                field: "name",
                source,
            })?,
        };
        let mut draft = Self::new(format, PackageMeta::new(folded, mapped, Release(0), machine(arch)?), spool);
        draft.foreign("format", format.as_str());
        draft.foreign("version", version);
        draft.foreign("arch", arch);
        if draft.meta.name.as_str() != name {
            draft.foreign("name", name);
            let why = format!("the package is named `{}` and provides `{}:{name}`", draft.meta.name, format.as_str());
            draft.report.add(LossKind::Name, name, why);
            draft.provide_self(crate::name::labelled(format.as_str(), name));
        }
        Ok(draft)
    }

    /// Offers a capability in the package's own version.
    pub(crate) fn provide_self(&mut self, capability: Option<Capability>) {
        if let Some(capability) = capability {
            self.meta.provides.push(exactly(capability, self.meta.version.clone()));
        }
    }

    /// Keeps a value under `foreign.NAME`; one that is empty says nothing.
    pub(crate) fn foreign(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        let name: String = name.to_ascii_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).collect();
        let name: String = format!("foreign.{name}").chars().take(64).collect();
        if !value.as_ref().is_empty() {
            self.meta.other.push((name, value.as_ref().to_vec()));
        }
    }

    /// Keeps a script, which does not run, and derives what is known to be safe of it.
    pub(crate) fn script(&mut self, name: &str, text: &[u8]) {
        self.foreign(&format!("script.{name}"), text);
        self.report.add(LossKind::Script, name, format!("kept as `foreign.script.{name}`, which does not run"));
    }

    /// Users, groups and alternatives that a shell script makes whenever it runs.
    pub(crate) fn effects(&mut self, script: &[u8]) {
        for effect in effects::of_script(&String::from_utf8_lossy(script)) {
            match effect {
                Effect::User(line) => self.meta.sysusers.push(line),
                Effect::Group(line) => self.meta.sysgroups.push(line),
                Effect::Trigger(trigger) => self.meta.triggers.push(trigger),
            }
        }
    }

    /// A list of alternatives of which one must hold. `original` is how the foreign package says it.
    pub(crate) fn need(&mut self, need: Need, alternatives: &[Target], original: &str) {
        let Some(requirements) = conjunction(alternatives) else {
            return self.lose_relation(original, "it has too many ranges of versions");
        };
        let list = match need {
            Need::Requires => &mut self.meta.requires,
            Need::Recommends => &mut self.meta.recommends,
            Need::Suggests => &mut self.meta.suggests,
        };
        list.extend(requirements);
    }

    /// What the package can not be installed with.
    pub(crate) fn conflict(&mut self, target: &Target, original: &str) {
        match excluding(target) {
            Some(relation) => self.meta.conflicts.push(relation),
            None => self.lose_relation(original, "a conflict with a range of versions can not be said"),
        }
    }

    /// What the package takes the place of.
    pub(crate) fn obsolete(&mut self, target: &Target, original: &str) {
        match excluding(target) {
            Some(relation) => self.meta.obsoletes.push(relation),
            None => self.lose_relation(original, "taking the place of a range of versions can not be said"),
        }
    }

    /// What the package offers, in a version or in none.
    pub(crate) fn provide(&mut self, capability: Capability, version: Option<Version>) {
        let relation = match version {
            Some(version) => exactly(capability, version),
            None => Relation::any(capability),
        };
        self.meta.provides.push(relation);
    }

    /// A relation that is kept in no list of ours.
    pub(crate) fn lose_relation(&mut self, original: &str, why: impl Into<String>) {
        self.report.add(LossKind::Relation, original, why);
    }

    /// A line of metadata without control characters; nothing where nothing is left.
    pub(crate) fn line(text: &str) -> Option<String> {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let clean = clean.trim();
        (!clean.is_empty()).then(|| clean.to_owned())
    }

    /// The description: a summary, then the lines of the text.
    pub(crate) fn describe<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.meta.description = lines.into_iter().map(|line| Self::line(line).unwrap_or_default()).collect();
        while self.meta.description.last().is_some_and(String::is_empty) {
            self.meta.description.pop();
        }
    }

    /// Marks an absolute path of a configuration file.
    pub(crate) fn mark_config(&mut self, path: &str) {
        let path = PkgPath::new(path.trim().trim_start_matches('/').as_bytes());
        if let Ok(path) = path {
            self.tree.mark(&path, Use::Config, &mut self.report);
        }
    }

    /// The package as it is now, its files complete.
    pub(crate) fn finish(mut self, has_ldconfig: bool) -> Result<Converted> {
        if has_ldconfig {
            self.meta.triggers.extend(effects::of_libraries(self.tree.entries()));
        }
        self.read_sysusers();
        self.read_masters();
        let (manifest, spool) = self.tree.finish()?;
        let mut size = 0u64;
        for entry in manifest.entries() {
            if let EntryKind::File { size: bytes, digest, .. } = &entry.kind {
                size = size.saturating_add(*bytes);
                if entry.uses.contains(&Use::License) {
                    self.meta.license_files.push(*digest);
                }
            }
        }
        self.meta.installed_size = Some(size);
        fit(&mut self.meta, &mut self.report)?;
        self.report.dedup();
        Converted::new(self.format, self.meta, manifest, spool, self.report)
    }

    /// What `systemd-sysusers` would make of the package's own files.
    fn read_sysusers(&mut self) {
        let is_sysusers = |path: &PkgPath| {
            path.parent().is_some_and(|folder| folder.as_bytes() == b"usr/lib/sysusers.d")
                && path.file_name().ends_with(b".conf")
        };
        let files = self.tree.entries().filter(|entry| is_sysusers(&entry.path));
        let digests: BTreeSet<Digest> = files
            .filter_map(|entry| if let EntryKind::File { digest, .. } = &entry.kind { Some(*digest) } else { None })
            .collect();
        let mut left = METADATA as usize;
        for text in digests.iter().filter_map(|digest| self.tree.text(digest)) {
            // More would not fit into the metadata anyway.
            let Some(rest) = left.checked_sub(text.len()) else {
                self.report.add(LossKind::Field, "usr/lib/sysusers.d", "it says more than metadata can hold");
                return;
            };
            left = rest;
            for line in text.lines().filter_map(Self::line) {
                match line.as_bytes()[0] {
                    b'u' | b'm' => self.meta.sysusers.push(line),
                    b'g' => self.meta.sysgroups.push(line),
                    _ => {}
                }
            }
        }
    }

    /// The users and groups that every Debian system begins with: `base-passwd` brings them as files, of which its script
    /// makes `etc/passwd` and `etc/group`.
    fn read_masters(&mut self) {
        let users = self.master("passwd.master").unwrap_or_default();
        self.meta.sysusers.extend(users.lines().filter_map(effects::of_passwd));
        let groups = self.master("group.master").unwrap_or_default();
        self.meta.sysgroups.extend(groups.lines().filter_map(effects::of_group));
    }

    fn master(&self, name: &str) -> Option<String> {
        let is_master = |path: &PkgPath| {
            path.file_name() == name.as_bytes()
                && path.parent().is_some_and(|folder| folder.as_bytes() == b"usr/share/base-passwd")
        };
        let entry = self.tree.entries().find(|entry| is_master(&entry.path))?;
        let EntryKind::File { digest, .. } = &entry.kind else { return None };
        self.tree.text(digest)
    }
}

/// Alternatives of ranges as requirements that hold together: one for each choice of a bound from every alternative.
fn conjunction(alternatives: &[Target]) -> Option<Vec<Requirement>> {
    const MOST: usize = 16;
    let mut choices: Vec<Vec<Relation>> = vec![Vec::new()];
    for target in alternatives {
        let relations = target.relations();
        if choices.len() * relations.len() > MOST {
            return None;
        }
        // Each further bound has a copy of its own of what was chosen before.
        let chosen = if relations.len() > 1 { choices.clone() } else { Vec::new() };
        for (index, relation) in relations.into_iter().enumerate() {
            let from = if index == 0 { 0 } else { choices.len() };
            if index > 0 {
                choices.extend_from_slice(&chosen);
            }
            choices[from..].iter_mut().for_each(|choice| choice.push(relation.clone()));
        }
    }
    let text = |choice: Vec<Relation>| {
        let parts: Vec<String> = choice.iter().map(ToString::to_string).collect();
        parts.join(" | ").parse::<Requirement>().ok()
    };
    choices.into_iter().filter(|choice| !choice.is_empty()).map(text).collect()
}

/// A relation that excludes: a range would take two, and each alone says more.
fn excluding(target: &Target) -> Option<Relation> {
    let mut relations = target.relations();
    relations.pop().filter(|_| relations.is_empty())
}

fn exactly(capability: Capability, version: Version) -> Relation {
    let bound = pkgtypes::FullVersion { version, release: None };
    Relation { capability, constraint: Some(Constraint { op: pkgtypes::Op::Equal, bound }) }
}

/// The machine in the words of the compiler, as packages of ours name it.
fn machine(arch: &str) -> Result<Arch> {
    let ours = match arch {
        "all" | "any" | "noarch" => "noarch",
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "i386" | "i486" | "i586" | "i686" | "pentium4" => "x86",
        "armhf" | "armel" | "armv6h" | "armv7" | "armv7h" | "armv7hl" | "armv6hl" | "armv7hnl" => "arm",
        "ppc64el" | "ppc64le" | "ppc64" | "powerpc64le" => "powerpc64",
        "mips64el" | "mips64r6el" => "mips64",
        "mipsel" => "mips",
        "riscv" => "riscv64",
        "loong64" | "loong" => "loongarch64",
        other => other,
    };
    let field = "architecture";
    ours.to_ascii_lowercase().parse().map_err(|source| Error::Value { format: "foreign", field, source })
}

/// Leaves out the largest of the kept values until the metadata can be read.
fn fit(meta: &mut PackageMeta, report: &mut Report) -> Result<()> {
    let cost = |name: &str, value: &[u8]| (name.len() + value.len() + 10) as u64;
    let entries = meta.entries().map_err(pkgformat::Error::from)?;
    let mut bytes: u64 = entries.iter().map(|(name, value)| cost(name, value)).sum();
    if bytes <= METADATA {
        return Ok(());
    }
    let mut kept = std::mem::take(&mut meta.other);
    kept.sort_by_key(|(_, value)| value.len());
    while bytes > METADATA {
        let Some((name, value)) = kept.pop() else { return Err(Error::Metadata { bytes, limit: METADATA }) };
        bytes = bytes.saturating_sub(cost(&name, &value));
        report.add(LossKind::Field, name, format!("its {} bytes are too many for metadata", value.len()));
    }
    meta.other = kept;
    Ok(())
}
