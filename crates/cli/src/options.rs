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

/// Bytes, with a suffix that is a power of 1024.
///
/// # Errors
/// Another text.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        Some(b't' | b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| format!("'{text}' is not a size"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("'{text}' is too large"))
}
