mod decode;
mod encode;

use std::fmt;

use pkgtypes::{Arch, Digest, PackageName, Relation, Release, Requirement, Timestamp, Version};

use crate::error::MetaError;

/// What a package says of itself.
///
/// Texts are UTF-8 without control characters. Every list but [`PackageMeta::description`] is a set: what was read has
/// it sorted by the text of its values, and so has a [`PackageRecord`](crate::PackageRecord).
///
/// ```
/// use pkgformat::PackageMeta;
///
/// let mut meta = PackageMeta::new("zlib".parse()?, "1.3.1".parse()?, "1".parse()?, "x86_64".parse()?);
/// meta.requires.push("so:libc.so.6(64bit)".parse()?);
/// let entries = meta.entries()?;
/// assert!(entries.contains(&("requires".into(), b"so:libc.so.6(64bit)".to_vec())));
/// assert_eq!(PackageMeta::from_entries(entries)?, meta);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageMeta {
    /// Its name.
    pub name: PackageName,
    /// Epoch and upstream version.
    pub version: Version,
    /// The packager's count for that version.
    pub release: Release,
    /// The machines it is for.
    pub arch: Arch,
    /// What it is, line by line; the first one is a summary.
    pub description: Vec<String>,
    /// Where it comes from.
    pub url: Option<String>,
    /// SPDX expressions, all of which hold.
    pub licenses: Vec<String>,
    /// Licence texts: digests of blobs of the package.
    pub license_files: Vec<Digest>,
    /// When it was built, where `SOURCE_DATE_EPOCH` said so.
    pub build_date: Option<Timestamp>,
    /// The digest of the recipe's own folder.
    pub recipe_hash: Option<Digest>,
    /// Bytes that its files take on disk.
    pub installed_size: Option<u64>,
    /// Groups of packages that it belongs to.
    pub groups: Vec<String>,
    /// The output of the recipe that this package is; `None` for the main one.
    pub subpackage: Option<String>,
    /// The package that this one goes with: a relation `NAME = VERSION`.
    pub tied: Option<Relation>,
    /// What it needs.
    pub requires: Vec<Requirement>,
    /// What it offers besides its name.
    pub provides: Vec<Relation>,
    /// What it can not be installed with.
    pub conflicts: Vec<Relation>,
    /// What it takes the place of.
    pub obsoletes: Vec<Relation>,
    /// What is installed with it unless refused.
    pub recommends: Vec<Requirement>,
    /// What goes well with it.
    pub suggests: Vec<Requirement>,
    /// Programs that run when it comes and goes.
    pub scripts: Scripts,
    /// Commands that run when files come or go.
    pub triggers: Vec<Trigger>,
    /// Users it needs, as lines of `sysusers.d`.
    pub sysusers: Vec<String>,
    /// Groups of users it needs, as lines of `sysusers.d`.
    pub sysgroups: Vec<String>,
    /// `foreign.*` and all names that this version does not know, kept with their values.
    pub other: Vec<(String, Vec<u8>)>,
}

/// The digests of the blobs that are a package's scripts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts {
    /// Runs before the files come.
    pub pre_install: Option<Digest>,
    /// Runs after the files came.
    pub post_install: Option<Digest>,
    /// Runs before the files go.
    pub pre_remove: Option<Digest>,
    /// Runs after the files went.
    pub post_remove: Option<Digest>,
}

impl Scripts {
    /// The scripts that there are, sorted by the names of their entries, which is the order of their blobs.
    pub fn iter(&self) -> impl Iterator<Item = (ScriptKind, Digest)> {
        ScriptKind::ALL.into_iter().filter_map(|kind| self.digest(kind).map(|digest| (kind, digest)))
    }

    /// The script of this kind.
    pub fn digest(&self, kind: ScriptKind) -> Option<Digest> {
        match kind {
            ScriptKind::PostInstall => self.post_install,
            ScriptKind::PostRemove => self.post_remove,
            ScriptKind::PreInstall => self.pre_install,
            ScriptKind::PreRemove => self.pre_remove,
        }
    }

    fn slot(&mut self, kind: ScriptKind) -> &mut Option<Digest> {
        match kind {
            ScriptKind::PostInstall => &mut self.post_install,
            ScriptKind::PostRemove => &mut self.post_remove,
            ScriptKind::PreInstall => &mut self.pre_install,
            ScriptKind::PreRemove => &mut self.pre_remove,
        }
    }
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptKind {
    /// After the files came.
    PostInstall,
    /// After the files went.
    PostRemove,
    /// Before the files come.
    PreInstall,
    /// Before the files go.
    PreRemove,
}

impl ScriptKind {
    /// All kinds, sorted by the names of their entries.
    pub const ALL: [Self; 4] = [Self::PostInstall, Self::PostRemove, Self::PreInstall, Self::PreRemove];

    /// The name of its metadata entry.
    pub fn entry_name(self) -> &'static str {
        match self {
            Self::PostInstall => "script.post-install",
            Self::PostRemove => "script.post-remove",
            Self::PreInstall => "script.pre-install",
            Self::PreRemove => "script.pre-remove",
        }
    }
}

impl fmt::Display for ScriptKind {
    /// The entry's name without `script.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.entry_name()["script.".len()..])
    }
}

/// A command that runs when a transaction touches paths that a pattern fits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trigger {
    /// The pattern: a path with wildcards.
    pub glob: String,
    /// The command.
    pub command: String,
}

impl PackageMeta {
    /// The metadata of a package that has a name and nothing else to say.
    pub fn new(name: PackageName, version: Version, release: Release, arch: Arch) -> Self {
        Self {
            name,
            version,
            release,
            arch,
            description: Vec::new(),
            url: None,
            licenses: Vec::new(),
            license_files: Vec::new(),
            build_date: None,
            recipe_hash: None,
            installed_size: None,
            groups: Vec::new(),
            subpackage: None,
            tied: None,
            requires: Vec::new(),
            provides: Vec::new(),
            conflicts: Vec::new(),
            obsoletes: Vec::new(),
            recommends: Vec::new(),
            suggests: Vec::new(),
            scripts: Scripts::default(),
            triggers: Vec::new(),
            sysusers: Vec::new(),
            sysgroups: Vec::new(),
            other: Vec::new(),
        }
    }

    /// The same metadata with every list sorted and without repetitions, as it is read back.
    ///
    /// # Errors
    /// A value that can not be written; a name in `other` that has a field of its own.
    pub fn normalised(&self) -> Result<Self, MetaError> {
        Self::from_entries(self.to_list(crate::record::PACKAGE)?.entries())
    }
}
