//! Trees of recipes for tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use recipe::{Recipe, RecipeError, RecipeId, RecipeTree};

/// A tree of recipes that goes away with the test.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    /// An empty tree.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ga")).unwrap();
        Self(dir)
    }

    /// A tree of the recipes in `text`: lines `== NAME/VERSION/RELEASE`, `-- FILE` and the file's lines.
    pub(crate) fn of(text: &str) -> Self {
        let tree = Self::new();
        let (mut id, mut file, mut content) = (String::new(), String::new(), String::new());
        for line in text.lines().chain(["=="]) {
            let (new_id, new_file) = (line.strip_prefix("== "), line.strip_prefix("-- "));
            if new_id.is_none() && new_file.is_none() && line != "==" {
                content.push_str(line);
                content.push('\n');
                continue;
            }
            if !file.is_empty() {
                tree.put(&id, &file, &content);
            }
            (file, content) = (new_file.unwrap_or_default().to_owned(), String::new());
            id = new_id.map_or(id, str::to_owned);
        }
        tree
    }

    /// Writes a file of a recipe; programs are executable.
    pub(crate) fn put(&self, id: &str, file: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.folder(id).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let mode = if ["build", "check", "test"].contains(&file) { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn folder(&self, id: &str) -> std::path::PathBuf {
        let channel = if id.starts_with("rc/") { "" } else { "ga" };
        self.path().join(channel).join(id)
    }

    pub(crate) fn open(&self) -> Result<RecipeTree, String> {
        RecipeTree::open(self.path()).map_err(|error| self.shown(&error))
    }

    pub(crate) fn load(&self, id: &str) -> Result<Recipe, String> {
        Recipe::load(&self.folder(id), recipe_id(id)).map_err(|error| self.shown(&error))
    }

    /// The message, with the tree's own path left out.
    pub(crate) fn shown(&self, error: &RecipeError) -> String {
        error.to_string().replace(&format!("{}/", self.path().display()), "")
    }
}

pub(crate) fn recipe_id(text: &str) -> RecipeId {
    let [name, version, release] = text.split('/').collect::<Vec<_>>().try_into().unwrap();
    RecipeId::new(name.parse().unwrap(), version.parse().unwrap(), release.parse().unwrap())
}
