use pkgtypes::{PackageName, PkgPath, Relation, Requirement};

use crate::PackageRef;

/// A package in a build room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomPackage {
    /// The package.
    pub package: PackageRef,
    /// The folder that its tree is laid at; `None` for the root.
    pub at: Option<PkgPath>,
    /// The environment variable that names that folder.
    pub variable: Option<String>,
    /// Whether `deps` names it; else something in the room needs it to run.
    pub declared: bool,
}

/// What is known of packages that are built already.
///
/// Before anything is built, [`NoFacts`] stands for it; then the recipes alone decide.
pub trait Facts {
    /// Requirements found in the package's files, such as `so:libz.so.1(64bit)`.
    fn found(&self, package: &PackageRef) -> Vec<Requirement>;

    /// The package that offers a `so:`, `cmd:` or other labelled capability.
    fn provider(&self, relation: &Relation) -> Provider;
}

/// An answer of [`Facts::provider`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// This package offers it.
    Package(PackageRef),
    /// No package offers it.
    Nobody,
    /// It can not be known before packages are built; the requirement is passed over.
    Unknown,
}

/// Nothing is built yet.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn found(&self, _: &PackageRef) -> Vec<Requirement> {
        Vec::new()
    }

    fn provider(&self, _: &Relation) -> Provider {
        Provider::Unknown
    }
}

/// Who asks for which versions of a package.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) by: PackageRef,
    pub(crate) spec: crate::DepSpec,
}

impl Wish {
    pub(crate) fn describe(wishes: &[Self]) -> Vec<String> {
        wishes.iter().map(|wish| format!("{} wants {}", wish.by, wish.spec)).collect()
    }

    pub(crate) fn all_accept(wishes: &[Self], package: &PackageRef) -> bool {
        wishes.iter().all(|wish| wish.spec.accepts_version(&package.recipe))
    }

    pub(crate) fn conflict(name: &PackageName, wishes: &[Self]) -> crate::RecipeError {
        crate::RecipeError::Conflict { name: name.clone(), wishes: Self::describe(wishes) }
    }
}
