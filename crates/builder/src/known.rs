//! What was built or found built in one run, and what the packages say of one another.

use std::collections::BTreeMap;

use pkgtypes::{Digest, Relation, Requirement};
use recipe::{PackageRef, Provider, RecipeId};

use crate::caches::{PackResult, Packed};

/// The packages of one recipe in this run.
pub(crate) struct Built {
    pub(crate) pack_key: Digest,
    pub(crate) result: PackResult,
    pub(crate) fresh: bool,
}

/// What was built or found built in this run.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) built: BTreeMap<RecipeId, Built>,
    /// Who offers a capability.
    offers: BTreeMap<String, Vec<(PackageRef, Relation)>>,
}

impl Known {
    pub(crate) fn insert(&mut self, recipe: &RecipeId, built: Built) {
        for packed in &built.result.packages {
            let package = PackageRef { recipe: recipe.clone(), output: packed.name.clone() };
            for offer in &packed.provides {
                let offers = self.offers.entry(offer.capability.as_str().to_owned()).or_default();
                offers.push((package.clone(), offer.clone()));
            }
        }
        self.built.insert(recipe.clone(), built);
    }

    pub(crate) fn remove(&mut self, recipe: &RecipeId) {
        self.built.remove(recipe);
        for offers in self.offers.values_mut() {
            offers.retain(|(package, _)| package.recipe != *recipe);
        }
    }

    pub(crate) fn packed(&self, package: &PackageRef) -> Option<(&Built, &Packed)> {
        let built = self.built.get(&package.recipe)?;
        Some((built, built.result.packages.iter().find(|packed| packed.name == package.output)?))
    }

    pub(crate) fn offering(&self, relation: &Relation) -> impl Iterator<Item = &PackageRef> {
        let offers = self.offers.get(relation.capability.as_str()).map_or(&[][..], Vec::as_slice);
        offers.iter().filter(|(_, offer)| relation.satisfied_by(offer)).map(|(package, _)| package)
    }
}

impl recipe::Facts for Known {
    fn found(&self, package: &PackageRef) -> Vec<Requirement> {
        self.packed(package).map(|(_, packed)| packed.found.clone()).unwrap_or_default()
    }

    /// A library that nobody built so far may be private to a package; installing says if it is really missing.
    fn provider(&self, relation: &Relation) -> Provider {
        self.offering(relation).next().map_or(Provider::Unknown, |package| Provider::Package(package.clone()))
    }
}
