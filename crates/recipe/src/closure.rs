use std::collections::{BTreeMap, VecDeque};

use pkgtypes::{PackageName, Relation, Requirement};

use crate::room::Wish;
use crate::{DepSpec, Facts, PackageRef, Position, Provider, RecipeError, RecipeTree};

/// The packages in `roots` and all that they need to run, each once, in the order in which they are met.
///
/// Every requirement takes the newest recipe of the tree that satisfies it. Where a package already taken does not
/// satisfy a later requirement, the search starts anew with both in mind; it ends, because each start knows one more
/// requirement than the one before.
///
/// # Errors
/// An unknown name, requirements on one package that no recipe satisfies together, or a capability that `facts` knows
/// nobody to offer.
pub fn runtime_closure(
    tree: &RecipeTree,
    roots: &[PackageRef],
    facts: &dyn Facts,
) -> Result<Vec<PackageRef>, RecipeError> {
    let mut wishes = BTreeMap::new();
    loop {
        let mut search = Search { tree, facts, wishes: &wishes, taken: BTreeMap::new(), order: Vec::new() };
        match search.run(roots)? {
            None => return Ok(search.order),
            Some(wish) => wishes.entry(wish.spec.name.clone()).or_insert_with(Vec::new).push(wish),
        }
    }
}

struct Search<'a> {
    tree: &'a RecipeTree,
    facts: &'a dyn Facts,
    /// What earlier starts learned.
    wishes: &'a BTreeMap<PackageName, Vec<Wish>>,
    taken: BTreeMap<PackageName, PackageRef>,
    order: Vec<PackageRef>,
}

/// How a requirement ended.
enum Step {
    Satisfied,
    Take(PackageRef),
    /// A package already taken does not satisfy it.
    StartAnew(Wish),
}

impl Search<'_> {
    /// `None` when the closure is complete, else a wish to start anew with.
    fn run(&mut self, roots: &[PackageRef]) -> Result<Option<Wish>, RecipeError> {
        let mut queue = VecDeque::new();
        for root in roots {
            self.take(root, &mut queue)?;
        }
        while let Some(package) = queue.pop_front() {
            for (requirement, position) in self.requirements(&package)? {
                match self.satisfy(&package, &requirement, position.as_ref(), roots)? {
                    Step::Satisfied => {}
                    Step::Take(other) => self.take(&other, &mut queue)?,
                    Step::StartAnew(wish) => return Ok(Some(wish)),
                }
            }
        }
        Ok(None)
    }

    fn take(&mut self, package: &PackageRef, queue: &mut VecDeque<PackageRef>) -> Result<(), RecipeError> {
        match self.taken.get(&package.output) {
            Some(same) if same == package => return Ok(()),
            Some(other) => {
                let wish = |of: &PackageRef| Wish { by: of.clone(), spec: DepSpec::exact(&of.recipe) };
                return Err(Wish::conflict(&package.output, &[wish(other), wish(package)]));
            }
            None => {}
        }
        self.taken.insert(package.output.clone(), package.clone());
        self.order.push(package.clone());
        queue.push_back(package.clone());
        Ok(())
    }

    /// What the recipe says, and what was found in the files and the recipe does not leave out.
    fn requirements(&self, package: &PackageRef) -> Result<Vec<(Requirement, Option<Position>)>, RecipeError> {
        let recipe = self.tree.load(&package.recipe)?;
        let rundeps = recipe.rundeps(&package.output);
        let said = rundeps.requires.iter().map(|line| (line.requirement.clone(), Some(line.position.clone())));
        let found = self.facts.found(package).into_iter().filter(|found| !rundeps.leaves_out(found));
        Ok(said.chain(found.map(|found| (found, None))).collect())
    }

    fn satisfy(
        &self,
        package: &PackageRef,
        requirement: &Requirement,
        position: Option<&Position>,
        roots: &[PackageRef],
    ) -> Result<Step, RecipeError> {
        let specs: Vec<Result<DepSpec, &Relation>> = requirement
            .alternatives()
            .iter()
            .map(|relation| DepSpec::try_from(relation).map_err(|_| relation))
            .collect();
        let holds =
            |spec: &DepSpec| self.taken.get(&spec.name).is_some_and(|taken| spec.accepts_version(&taken.recipe));
        if specs.iter().flatten().any(holds) {
            return Ok(Step::Satisfied);
        }
        let mut refusal = None;
        for alternative in &specs {
            let step = match alternative {
                Ok(spec) => self.choose(package, spec, position, roots),
                Err(relation) => self.ask(package, relation),
            };
            match step {
                Ok(step) => return Ok(step),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        Err(refusal.expect("a requirement has an alternative, and each one was refused"))
    }

    fn choose(
        &self,
        by: &PackageRef,
        spec: &DepSpec,
        position: Option<&Position>,
        roots: &[PackageRef],
    ) -> Result<Step, RecipeError> {
        let learned = self.wishes.get(&spec.name).map_or(&[][..], Vec::as_slice);
        let wish = Wish { by: by.clone(), spec: spec.clone() };
        let fitting = self.tree.candidates(spec)?;
        let Some(newest) = fitting.iter().find(|package| Wish::all_accept(learned, package)) else {
            // Without earlier wishes the tree itself says what is missing.
            self.tree.find_package(spec, None, position)?;
            return Err(Wish::conflict(&spec.name, &[learned, &[wish]].concat()));
        };
        match self.taken.get(&spec.name) {
            None => Ok(Step::Take(newest.clone())),
            Some(taken) if roots.contains(taken) => {
                let root = Wish { by: taken.clone(), spec: DepSpec::exact(&taken.recipe) };
                Err(Wish::conflict(&spec.name, &[root, wish]))
            }
            Some(_) => Ok(Step::StartAnew(wish)),
        }
    }

    fn ask(&self, package: &PackageRef, relation: &Relation) -> Result<Step, RecipeError> {
        match self.facts.provider(relation) {
            Provider::Unknown => Ok(Step::Satisfied),
            Provider::Package(other) if self.taken.get(&other.output) == Some(&other) => Ok(Step::Satisfied),
            Provider::Package(other) => Ok(Step::Take(other)),
            Provider::Nobody => {
                Err(RecipeError::Unprovided { requirement: relation.to_string(), package: Box::new(package.clone()) })
            }
        }
    }
}
