//! Seeds follow their distribution: new pins from apt's signed lists.

use std::collections::BTreeMap;

use fetch::{Candidate, Url};
use pkgfs::{Durability, Rename, Root};
use pkgtypes::{Mode, PackageName, PkgPath, Version};
use recipe::{Recipe, RecipeId, Source, SourceDigest, SourceKind};

use crate::builder::Builder;
use crate::sources::Told;
use crate::{Error, Events, io_error};

/// A seed that has another pin now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocked {
    /// The package.
    pub name: PackageName,
    /// The foreign version that was pinned.
    pub from: String,
    /// The one that is pinned now.
    pub to: String,
}

/// A seed and the foreign package that it pins.
struct Pin {
    recipe: RecipeId,
    file: String,
    foreign: String,
    version: String,
    digest: pkgtypes::Digest,
}

impl Builder<'_> {
    /// Pins the seeds of a set anew: each to the version that apt would install, where that is another one. The recipes
    /// are rewritten in the tree, and the lines of `rundeps` that name them; open the tree again afterwards.
    ///
    /// # Errors
    /// Apt does not know a package; the recipes can not be written.
    pub fn relock(&self, set: &RecipeId, events: &mut dyn Events) -> Result<Vec<Relocked>, Error> {
        let mut pins = Vec::new();
        for id in self.graph.order(std::slice::from_ref(set))? {
            let recipe = self.graph.tree().load(&id)?;
            pins.extend(recipe.sources().iter().find_map(|source| pin(&recipe, source)));
        }
        let names: Vec<&str> = pins.iter().map(|pin| pin.foreign.as_str()).collect();
        let candidates = self.sources.candidates(&names, &mut Told { events, stop: self.stop })?;
        let known: BTreeMap<&str, &Candidate> = candidates.iter().map(|known| (known.name.as_str(), known)).collect();
        let tree = Root::open(self.graph.tree().root())?;
        let mut changed = Vec::new();
        let mut renamed = Vec::new();
        for pin in &pins {
            let Some(candidate) = known.get(pin.foreign.as_str()).filter(|known| known.sha256 != pin.digest) else {
                continue;
            };
            let to = rewrite(&tree, pin, candidate)?;
            renamed.push((pin.recipe.clone(), to));
            changed.push(Relocked {
                name: pin.recipe.name.clone(),
                from: pin.version.clone(),
                to: candidate.version.clone(),
            });
        }
        self.follow(&tree, &renamed)?;
        Ok(changed)
    }

    /// Lets every `rundeps` of the tree name the seeds under their new versions.
    fn follow(&self, tree: &Root, renamed: &[(RecipeId, RecipeId)]) -> Result<(), Error> {
        let moved = |id: &RecipeId| {
            renamed.iter().find(|(from, _)| from == id).map_or_else(|| id.clone(), |(_, to)| to.clone())
        };
        for id in self.graph.tree().recipes().map(moved) {
            let path = below(&id, "rundeps")?;
            if tree.stat(&path)?.is_none() {
                continue;
            }
            let text = read(tree, &path)?;
            let lines = text.lines().map(|line| {
                let line = line.trim();
                renamed
                    .iter()
                    .find(|(from, _)| from.to_string() == line)
                    .map_or_else(|| line.to_owned(), |(_, to)| to.to_string())
            });
            let mut followed: String = lines.collect::<Vec<_>>().join("\n");
            followed.push('\n');
            if followed != text {
                tree.write_file(&path, Mode::from_raw(0o644), followed.as_bytes(), Durability::Atomic)?;
            }
        }
        Ok(())
    }
}

fn pin(recipe: &Recipe, source: &Source) -> Option<Pin> {
    let SourceDigest::Sha256(digest) = source.digest else { return None };
    if source.kind != SourceKind::Deb {
        return None;
    }
    let pinned = source.urls.iter().find_map(|url| match url.as_str().parse() {
        Ok(Url::Apt { name, version }) => Some((name, version)),
        _ => None,
    });
    let (foreign, version) = pinned?;
    Some(Pin { recipe: recipe.id().clone(), file: source.name.to_string(), foreign, version, digest })
}

/// Writes the new pin into the recipe, and moves the recipe's folder where upstream's version is another one.
fn rewrite(tree: &Root, pin: &Pin, candidate: &Candidate) -> Result<RecipeId, Error> {
    let to = RecipeId { version: upstream(&candidate.version), ..pin.recipe.clone() };
    let line = format!("deb {} sha256:{} apt:{}={}\n", pin.file, candidate.sha256, candidate.name, candidate.version);
    let sources = below(&pin.recipe, "sources")?;
    tree.write_file(&sources, Mode::from_raw(0o644), line.as_bytes(), Durability::Atomic)?;
    let [old, new] = [&pin.recipe, &to].map(folder);
    let (old, new) = (old?, new?);
    if old != new {
        let parent = new.parent().expect("a recipe's folder is below its version's");
        tree.create_dirs(&parent, Mode::from_raw(0o755))?;
        tree.rename(&old, &new, Rename::NoReplace)?;
        tree.remove_dir(&old.parent().expect("a recipe's folder is below its version's"))?;
    }
    Ok(to)
}

/// Upstream's version of a Debian one: without epoch and revision, in our grammar.
fn upstream(foreign: &str) -> Version {
    let without_epoch = foreign.split_once(':').map_or(foreign, |(_, rest)| rest);
    let upstream = without_epoch.rsplit_once('-').map_or(without_epoch, |(upstream, _)| upstream);
    let fits = |c: char| c.is_ascii_alphanumeric() || ".+_~^".contains(c);
    let text: String = upstream.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    text.parse().unwrap_or_else(|_| "0".parse().expect("it is a version"))
}

fn folder(id: &RecipeId) -> Result<PkgPath, Error> {
    let path = id.folder();
    PkgPath::from_os(&path).map_err(|error| Error::Io {
        action: "name the folder",
        path: path.clone(),
        error: std::io::Error::other(error),
    })
}

fn below(id: &RecipeId, file: &str) -> Result<PkgPath, Error> {
    let folder = folder(id)?;
    folder.join(file.as_bytes()).map_err(|error| Error::Io {
        action: "name a file of",
        path: id.folder(),
        error: std::io::Error::other(error),
    })
}

fn read(tree: &Root, path: &PkgPath) -> Result<String, Error> {
    let shown = tree.path().join(path.as_path());
    let file = tree.open_file(path)?;
    std::io::read_to_string(file).map_err(io_error("read", &shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_epoch_and_revision_go() {
        for (foreign, ours) in [
            ("4:12.2.0-3", "12.2.0"),
            ("2.36-9+deb12u14", "2.36"),
            ("1:1.2.13.dfsg-1", "1.2.13.dfsg"),
            ("6.2.1+dfsg1-1.1", "6.2.1+dfsg1"),
            ("1.35.0", "1.35.0"),
        ] {
            assert_eq!(upstream(foreign).to_string(), ours);
        }
    }
}
