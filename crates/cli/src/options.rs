//! Options that several verbs share.

use std::path::PathBuf;

use builder::{BuildOptions, Builder, Stop};
use recipe::RecipeTree;

use crate::places;

/// Where recipes and caches are.
#[derive(Debug, Clone, clap::Args)]
pub struct Workshop {
    /// The folder of recipes.
    #[arg(long, value_name = "DIR")]
    recipes: Option<PathBuf>,
    /// The folder of caches.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl Workshop {
    /// The recipes.
    ///
    /// # Errors
    /// There are none, or a folder among them has a wrong name.
    pub fn recipes(&self) -> anyhow::Result<RecipeTree> {
        Ok(RecipeTree::open(places::recipes(self.recipes.as_deref())?)?)
    }

    /// A builder of these recipes with these caches, speaking http as this machine does.
    ///
    /// # Errors
    /// A cache that can not be made or read.
    pub fn builder<'a>(
        &self,
        tree: &'a RecipeTree,
        options: BuildOptions,
        stop: Stop<'a>,
    ) -> anyhow::Result<Builder<'a>> {
        let options = BuildOptions { http: places::http(), ..options };
        Ok(Builder::open(tree, &places::cache(self.cache.as_deref())?, options, stop)?)
    }
}

/// The root that is asked.
#[derive(Debug, Clone, clap::Args)]
pub struct Asked {
    /// The root to ask.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    pub json: bool,
}
