use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use pkgtypes::{Arch, Digest, PackageName};

use crate::explanation::{Explanation, KEY_DOMAIN};
use crate::{
    CycleStep, Dependency, Facts, NoFacts, PackageRef, Recipe, RecipeError, RecipeId, RecipeTree, RoomPackage, closure,
};

/// How the recipes of a tree need one another, for one architecture.
#[derive(Debug)]
pub struct Graph<'t> {
    tree: &'t RecipeTree,
    arch: Arch,
    keys: Mutex<HashMap<RecipeId, Digest>>,
    rooms: Mutex<HashMap<RecipeId, Arc<[RoomPackage]>>>,
}

impl<'t> Graph<'t> {
    /// The graph of `tree` for packages of `arch`.
    pub fn new(tree: &'t RecipeTree, arch: Arch) -> Self {
        Self { tree, arch, keys: Mutex::default(), rooms: Mutex::default() }
    }

    /// The tree.
    pub fn tree(&self) -> &'t RecipeTree {
        self.tree
    }

    /// The architecture.
    pub fn arch(&self) -> &Arch {
        &self.arch
    }

    /// The package that a line of `deps` stands for; `latest` in a binary recipe takes what the lock names.
    ///
    /// # Errors
    /// As [`RecipeTree::find_package`], and a locked recipe that changed.
    pub fn resolve(&self, recipe: &Recipe, dependency: &Dependency) -> Result<PackageRef, RecipeError> {
        let name = &dependency.spec.name;
        let locked = recipe.lock().find(name).filter(|_| dependency.latest);
        let Some(line) = locked else {
            return self.tree.find_package(&dependency.spec, dependency.from.as_ref(), Some(&dependency.position));
        };
        let found = self.tree.locked(line, &dependency.position)?;
        self.tree.check_output(&found, name, line.position.as_ref())?;
        Ok(PackageRef { recipe: found, output: name.clone() })
    }

    /// What the build room of a recipe holds: the packages of `deps`, and what those at the root need to run.
    ///
    /// A dependency with `at=` brings its own tree only.
    ///
    /// # Errors
    /// As [`Graph::resolve`] and [`closure::runtime_closure`].
    pub fn room(&self, recipe: &RecipeId, facts: &dyn Facts) -> Result<Vec<RoomPackage>, RecipeError> {
        let recipe = self.tree.load(recipe)?;
        let mut room = Vec::new();
        for dependency in recipe.dependencies(&self.arch) {
            let package = self.resolve(&recipe, dependency)?;
            let (at, variable) = (dependency.at.clone(), dependency.variable.clone());
            room.push(RoomPackage { package, at, variable, declared: true });
        }
        let roots: Vec<PackageRef> =
            room.iter().filter(|package| package.at.is_none()).map(|package| package.package.clone()).collect();
        let closure = closure::runtime_closure(self.tree, &roots, facts)?;
        let others = closure.into_iter().filter(|package| !roots.contains(package));
        room.extend(others.map(|package| RoomPackage { package, at: None, variable: None, declared: false }));
        Ok(room)
    }

    /// `recipes` and all recipes that they need, each after those that it needs to be built.
    ///
    /// What a recipe's packages need to run comes before it too, as far as that is possible: its tests want it, but
    /// packages may need one another to run.
    ///
    /// # Errors
    /// As [`Graph::room`], and recipes that need one another to be built.
    pub fn order(&self, recipes: &[RecipeId]) -> Result<Vec<RecipeId>, RecipeError> {
        self.walk(recipes, true)
    }

    /// The recipe key: everything of the recipe that its build can see, and the recipe keys of all packages in its room.
    ///
    /// URLs, the description, `rundeps`, `perms`, `lint`, `test` and comments are not in it.
    ///
    /// # Errors
    /// As [`Graph::order`].
    pub fn recipe_key(&self, recipe: &RecipeId) -> Result<Digest, RecipeError> {
        for id in self.walk(std::slice::from_ref(recipe), false)? {
            if self.known_key(&id).is_none() {
                let key = self.explanation(&id)?.digest();
                self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(id, key);
            }
        }
        Ok(self.known_key(recipe).expect("the walk ends with the recipe itself"))
    }

    /// What the recipe key is made of.
    ///
    /// # Errors
    /// As [`Graph::order`].
    pub fn explain(&self, recipe: &RecipeId) -> Result<Explanation, RecipeError> {
        self.recipe_key(recipe)?;
        self.explanation(recipe)
    }

    fn known_key(&self, recipe: &RecipeId) -> Option<Digest> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(recipe).copied()
    }

    /// The keys of the room's recipes must be known.
    fn explanation(&self, id: &RecipeId) -> Result<Explanation, RecipeError> {
        let recipe = self.tree.load(id)?;
        let mut key = Explanation::new(KEY_DOMAIN);
        key.field("type", recipe.recipe_type());
        key.field("arch", &self.arch);
        key.field("name", &id.name);
        key.field("version", &id.version);
        explain_files(&mut key, &recipe);
        for package in self.planned_room(id)?.iter() {
            let known = self.known_key(&package.package.recipe);
            let dependency_key = known.expect("the walk puts a room's recipes before the recipe");
            key.field("room", self.explain_room(package, dependency_key)?);
        }
        Ok(key)
    }

    /// A package is a part of its recipe's tree, so a dependency on it sees the split too.
    fn explain_room(&self, room: &RoomPackage, key: Digest) -> Result<String, RecipeError> {
        let PackageRef { recipe, output } = &room.package;
        let at = room.at.as_ref().map_or_else(String::new, ToString::to_string);
        let mut text = format!("/{at} {output} sha256:{key}");
        if let Some(variable) = &room.variable {
            text.push_str(&format!(" as={variable}"));
        }
        if let Some(outputs) = self.tree.load(recipe)?.file("outputs") {
            text.push_str(&format!(" outputs=sha256:{}", outputs.digest));
        }
        Ok(text)
    }

    /// The room as far as recipes alone tell it.
    fn planned_room(&self, id: &RecipeId) -> Result<Arc<[RoomPackage]>, RecipeError> {
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms().get(id) {
            return Ok(Arc::clone(room));
        }
        let room: Arc<[RoomPackage]> = self.room(id, &NoFacts)?.into();
        rooms().insert(id.clone(), Arc::clone(&room));
        Ok(room)
    }

    /// The recipes that one recipe needs.
    fn edges(&self, id: &RecipeId, to_run: bool) -> Result<Vec<Edge>, RecipeError> {
        let room = self.planned_room(id)?;
        let mut edges: Vec<Edge> = room.iter().map(|room| Edge::new(&room.package, false)).collect();
        if to_run {
            let recipe = self.tree.load(id)?;
            for package in recipe.packages() {
                let root = PackageRef { recipe: id.clone(), output: package.clone() };
                let closure = closure::runtime_closure(self.tree, &[root], &NoFacts)?;
                edges.extend(closure.iter().skip(1).map(|package| Edge::new(package, true)));
            }
        }
        let mut seen = HashSet::new();
        edges.retain(|edge| seen.insert(edge.to.clone()));
        Ok(edges)
    }

    /// Depth first without recursion, so that the length of a chain of recipes is bounded by memory only.
    fn walk(&self, recipes: &[RecipeId], to_run: bool) -> Result<Vec<RecipeId>, RecipeError> {
        let mut done = BTreeMap::new();
        let mut order = Vec::new();
        for start in recipes {
            let mut path: Vec<Visit> = Vec::new();
            if !done.contains_key(start) {
                done.insert(start.clone(), false);
                path.push(Visit::new(start.clone(), self.edges(start, to_run)?));
            }
            while let Some(visit) = path.last_mut() {
                let Some(edge) = visit.next() else {
                    done.insert(visit.recipe.clone(), true);
                    order.push(visit.recipe.clone());
                    path.pop();
                    continue;
                };
                match done.get(&edge.to) {
                    Some(true) => {}
                    // Packages may need one another to run; only a build that needs itself is an error.
                    Some(false) if edge.to_run => {}
                    Some(false) => return Err(cycle(&path, &edge.to)),
                    None => {
                        done.insert(edge.to.clone(), false);
                        let edges = self.edges(&edge.to, to_run)?;
                        path.push(Visit::new(edge.to, edges));
                    }
                }
            }
        }
        Ok(order)
    }
}

/// One recipe needs another.
#[derive(Debug, Clone)]
struct Edge {
    to: RecipeId,
    package: PackageName,
    to_run: bool,
}

impl Edge {
    fn new(package: &PackageRef, to_run: bool) -> Self {
        Self { to: package.recipe.clone(), package: package.output.clone(), to_run }
    }
}

/// A recipe on the path of the walk.
struct Visit {
    recipe: RecipeId,
    edges: Vec<Edge>,
    /// Edges gone so far.
    gone: usize,
}

impl Visit {
    fn new(recipe: RecipeId, edges: Vec<Edge>) -> Self {
        Self { recipe, edges, gone: 0 }
    }

    fn next(&mut self) -> Option<Edge> {
        let edge = self.edges.get(self.gone).cloned();
        self.gone += 1;
        edge
    }
}

/// The end of `path` from `recipe` on; each recipe's last edge is the one that leads to the next.
fn cycle(path: &[Visit], recipe: &RecipeId) -> RecipeError {
    let from = path.iter().position(|visit| visit.recipe == *recipe).unwrap_or(0);
    let step = |visit: &Visit| {
        let edge = visit.gone.checked_sub(1).and_then(|last| visit.edges.get(last));
        let edge = edge.expect("the walk left this recipe by an edge");
        CycleStep { recipe: visit.recipe.clone(), needs: edge.package.clone(), to_run: edge.to_run }
    };
    RecipeError::Cycle { chain: path[from..].iter().map(step).collect() }
}

/// Everything in the recipe's own folder that its build can see.
fn explain_files(key: &mut Explanation, recipe: &Recipe) {
    for file in recipe.file("build").into_iter().chain(recipe.file("check").filter(|_| recipe.has_check())) {
        key.file("program", file);
    }
    for file in recipe.resources() {
        key.file("resource", file);
    }
    for variable in recipe.environment() {
        key.field("env", format_args!("{}={}", variable.name, variable.value));
    }
    for link in recipe.links() {
        key.field("link", format_args!("{} -> {}", link.path, link.target));
    }
    for source in recipe.sources() {
        let to = source.to.as_ref().map_or_else(String::new, |to| format!(" to={to}"));
        let mode = source.mode.map_or_else(String::new, |mode| format!(" mode={mode}"));
        let (kind, name, digest, strip) = (source.kind, &source.name, &source.digest, source.strip);
        key.field("source", format_args!("{kind} {name} {digest}{to} strip={strip}{mode}"));
    }
    if let Some(date) = recipe.meta(&recipe.id().name).source_date {
        key.field("source-date", date);
    }
}
