use pkgtypes::{PackageId, PackageName, Release, Version};

/// A package in one of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageVersion {
    /// Epoch and upstream version.
    pub version: Version,
    /// The packager's count for it.
    pub release: Release,
    /// The content.
    pub id: PackageId,
}

impl From<&pkgformat::PackageRecord> for PackageVersion {
    fn from(record: &pkgformat::PackageRecord) -> Self {
        let meta = record.meta();
        Self { version: meta.version.clone(), release: meta.release, id: record.id() }
    }
}

/// What a transaction does with the package of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The name.
    pub name: PackageName,
    /// What is installed; `None` for a new package.
    pub old: Option<PackageVersion>,
    /// What will be installed; `None` for a removal.
    pub new: Option<PackageVersion>,
}

/// The sort of an [`Operation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// A package comes.
    Install,
    /// A later version takes the place of an earlier one.
    Upgrade,
    /// An earlier version takes the place of a later one.
    Downgrade,
    /// The same version takes its own place, with the same content or another.
    Reinstall,
    /// A package goes.
    Remove,
}

impl Operation {
    /// The sort of this operation.
    pub fn kind(&self) -> OperationKind {
        match (&self.old, &self.new) {
            (None, _) => OperationKind::Install,
            (Some(_), None) => OperationKind::Remove,
            (Some(old), Some(new)) => {
                let order = new.version.compare(&old.version).then(new.release.cmp(&old.release));
                match order {
                    std::cmp::Ordering::Less => OperationKind::Downgrade,
                    std::cmp::Ordering::Equal => OperationKind::Reinstall,
                    std::cmp::Ordering::Greater => OperationKind::Upgrade,
                }
            }
        }
    }
}
