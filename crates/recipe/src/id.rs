use std::cmp::Ordering;
use std::fmt;

use pkgtypes::{FullVersion, PackageName, Release, Version};

/// Whether a recipe is released or a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// `rc`: a candidate.
    Candidate,
    /// `ga`: released.
    Released,
}

impl Channel {
    /// The folder of the channel in a tree.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Candidate => "rc",
            Self::Released => "ga",
        }
    }
}

/// A recipe of a tree. Shown as `zlib/1.2.13/1`, a candidate as `rc/zlib/1.2.13/1`.
///
/// The order is by name, then from the older to the newer version and release; a released recipe counts as newer than a
/// candidate of the same version and release.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecipeId {
    /// Released or candidate.
    pub channel: Channel,
    /// The name.
    pub name: PackageName,
    /// The version, an imported one with its epoch.
    pub version: Version,
    /// The release: 0 is an imported seed.
    pub release: Release,
}

impl RecipeId {
    /// A released recipe.
    pub fn new(name: PackageName, version: Version, release: Release) -> Self {
        Self { channel: Channel::Released, name, version, release }
    }

    /// Version and release.
    pub fn full_version(&self) -> FullVersion {
        FullVersion { version: self.version.clone(), release: Some(self.release) }
    }

    /// The folder inside a tree.
    pub fn folder(&self) -> std::path::PathBuf {
        let place = [self.channel.folder(), self.name.as_str(), &self.version.to_string(), &self.release.to_string()];
        place.iter().collect()
    }
}

impl Ord for RecipeId {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |id: &Self| (id.release, id.channel);
        self.name
            .cmp(&other.name)
            .then_with(|| self.version.cmp(&other.version))
            .then_with(|| key(self).cmp(&key(other)))
    }
}

impl PartialOrd for RecipeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RecipeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.channel == Channel::Candidate {
            f.write_str("rc/")?;
        }
        write!(f, "{}/{}/{}", self.name, self.version, self.release)
    }
}

/// A package that a recipe of a tree makes: the recipe and the name of the output.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageRef {
    /// The recipe.
    pub recipe: RecipeId,
    /// The package: the recipe's own name or that of another output.
    pub output: PackageName,
}

impl PackageRef {
    /// The package that carries the recipe's own name.
    pub fn main(recipe: RecipeId) -> Self {
        Self { output: recipe.name.clone(), recipe }
    }

    /// Whether the package carries the recipe's own name.
    pub fn is_main(&self) -> bool {
        self.output == self.recipe.name
    }
}

impl fmt::Display for PackageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_main() {
            return self.recipe.fmt(f);
        }
        write!(f, "{} from {}", self.output, self.recipe)
    }
}
