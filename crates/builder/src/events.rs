use std::path::Path;
use std::time::Duration;

use recipe::RecipeId;

/// Is told what a build does, as it happens.
pub trait Events: Send {
    /// Work on one recipe of several begins; `number` counts from 1.
    fn started(&mut self, recipe: &RecipeId, number: usize, total: usize);
    /// A source is being fetched from one of its places.
    fn fetching(&mut self, name: &str, place: &str);
    /// The recipe's script runs from now on, and writes this log.
    fn building(&mut self, recipe: &RecipeId, log: &Path);
    /// The recipe's packages are there. `built` is false when they were there before.
    fn finished(&mut self, recipe: &RecipeId, built: bool, time: Duration);
    /// Something to know that stops nothing.
    fn warning(&mut self, recipe: &RecipeId, what: &str);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Events for Silent {
    fn started(&mut self, _: &RecipeId, _: usize, _: usize) {}
    fn fetching(&mut self, _: &str, _: &str) {}
    fn building(&mut self, _: &RecipeId, _: &Path) {}
    fn finished(&mut self, _: &RecipeId, _: bool, _: Duration) {}
    fn warning(&mut self, _: &RecipeId, _: &str) {}
}
